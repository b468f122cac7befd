"""The compiled schemas of ``schemas/``, each loaded when it is first needed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from lxml import etree

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

__all__ = ["is_valid", "schema_file", "schema_for", "schema_text"]


def schema_file(kind: str) -> Path:
    """Where the schema of a kind of document is: beside the package in a checkout, in it once it is installed."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "schemas" / f"{kind}.xsd"
    return installed if installed.exists() else package.parent / "schemas" / f"{kind}.xsd"


def schema_text(kind: str) -> str:
    """The schema of a kind in one piece, with all that it includes."""
    parser = etree.XMLParser(remove_blank_text=True)
    root = etree.parse(schema_file(kind), parser).getroot()
    for include in root.findall("{http://www.w3.org/2001/XMLSchema}include"):
        root.remove(include)
        root.extend(etree.parse(schema_file(str(include.get("schemaLocation")).removesuffix(".xsd")), parser).getroot())
    etree.indent(root, "  ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{etree.tostring(root, encoding="unicode")}\n'


@cache
def schema_for(kind: str) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(schema_file(kind)))


def is_valid(kind: str, root: Element) -> bool:
    """Whether the schema of a kind takes a document; one that libxml2 gives up on is none it takes."""
    try:
        return schema_for(kind).validate(root)
    except etree.XMLSchemaValidateError:
        return False
