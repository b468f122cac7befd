"""Documents of every kind, made up from the declarations; and real ones that something happened to."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from support.elements import read_both
from support.made_up import nodes

from engine.conf.document import parse_document
from engine.conf.documents import diff, format, parse, validate
from engine.conf.kinds.registry import KINDS, definition_classes
from engine.conf.nodes.node import Definition
from engine.conf.nodes.reading import Found
from engine.conf.schemas import schema_for
from engine.errors import ConfigError

FEW = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("kind", KINDS)
@FEW
@given(data=st.data())
def test_what_is_written_is_valid_and_read_again_as_it_was(kind: str, data: st.DataObject) -> None:
    cls = data.draw(st.sampled_from(definition_classes(kind)))
    definition = cast("Definition", data.draw(nodes(cls, depth=2)))
    text = format(definition)
    root = etree.fromstring(text)
    assert schema_for(kind).validate(root), schema_for(kind).error_log
    again = parse(text)
    assert again == definition
    assert diff(definition, again) == []
    assert format(again) == text


@pytest.mark.parametrize("kind", KINDS)
@FEW
@given(data=st.data())
def test_a_broken_document_raises_nothing_but_what_it_should(kind: str, data: st.DataObject) -> None:
    cls = data.draw(st.sampled_from(definition_classes(kind)))
    text = format(cast("Definition", data.draw(nodes(cls, depth=2))))
    at = data.draw(st.integers(0, len(text)))
    rest = at + data.draw(st.integers(0, 12))
    broken = (
        text[:at] + data.draw(st.sampled_from(["", "<", ">", "'", "&x;", "\0", "x", "</a>", " a='b'"])) + text[rest:]
    )
    for check in (validate, lambda text: parse(text, validate=False)):
        try:
            check(broken)
        except ConfigError as exc:
            assert str(exc)
    with suppress(ConfigError):
        root = parse_document(broken)
        assert contents(parse_document(format(parse(broken, validate=False)))) == contents(root), "something is lost"
    with suppress(ConfigError):
        root = parse_document(broken)
        found: list[Found] = []
        read_both(definition_classes(kind), root, found)
        assert found or root.tag != kind or schema_for(kind).validate(root), "the schema refuses more"


def contents(root: etree._Element) -> Counter[str]:
    """All that a document holds, whatever the order and the layout."""
    found: Counter[str] = Counter()
    for element in root.iter("*"):
        text = " ".join("".join([element.text or "", *(each.tail or "" for each in element)]).split())
        found[f"{element.tag} {sorted(element.attrib.items())} {text}"] += 1
    return found


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=60), st.binary(max_size=60)))
def test_whatever_is_no_document_is_refused_in_a_sentence(text: str | bytes) -> None:
    with pytest.raises(ConfigError) as refused:
        validate(text)
    assert "\n" not in str(refused.value)
