"""Over libvirt's published test data: we take what libvirt's own schemas take, refuse the rest, and lose nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import xmlschema
from interop.agreement import ORACLES, Subject, mutations
from lxml import etree
from support.elements import read_both

from engine.conf.documents import diff, format, parse
from engine.conf.kinds.registry import definition_classes
from engine.conf.nodes.reading import Found
from engine.conf.schemas import schema_file, schema_for
from engine.errors import ConfigError

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

# libvirt's schema of a whole domain takes long to refuse some mutations
_MUTATIONS = {"domain": 150, "domainsnapshot": 60, "filter": 60}


@pytest.fixture(scope="module")
def subjects() -> dict[str, Subject]:
    return {}


@pytest.fixture(params=ORACLES)
def subject(request: pytest.FixtureRequest, subjects: dict[str, Subject]) -> Subject:
    kind = str(request.param)
    return subjects.setdefault(kind, Subject(kind))


def test_every_document_is_taken_or_refused_as_libvirt_does(subject: Subject) -> None:
    disagreed = [
        (file.name, subject.theirs(text), subject.ours(text))
        for file, text in subject.documents()
        if bool(subject.theirs(text)) is not bool(subject.ours(text))
    ]
    assert disagreed == []


def test_mutations_are_taken_or_refused_as_libvirt_does(subject: Subject) -> None:
    """A few of them, drawn; the script beside this test tries them all."""
    draw = random.Random(subject.name)
    documents = [(file, text) for file, text in subject.documents() if len(text) < 6000 and not subject.theirs(text)]
    for _ in range(min(_MUTATIONS.get(subject.name, 100), 20 * len(documents))):
        file, text = draw.choice(documents)
        root = etree.fromstring(text, etree.XMLParser(remove_comments=True))
        label, mutant = draw.choice([(label, etree.tostring(tree)) for label, tree in mutations(root)])
        assert bool(subject.theirs(mutant)) is bool(subject.ours(mutant)), f"{file.name}: {label}"
        assert bool(declared(subject.name, mutant)) is bool(subject.ours(mutant)), f"{file.name}: {label}"


def declared(kind: str, text: bytes) -> list[Found]:
    """What the declarations refuse by themselves, which is what a document is held to when it is defined."""
    found: list[Found] = []
    root = etree.fromstring(text)
    if root.tag == kind:
        read_both(definition_classes(kind), root, found)
    return found if root.tag == kind else [Found(element=root, reason="another kind")]


def test_nothing_is_lost(subject: Subject) -> None:
    for file, text in subject.documents():
        try:
            definition = parse(text, validate=False)
        except ConfigError:
            continue
        written = format(definition)
        assert alike(etree.fromstring(text), etree.fromstring(written)), file.name
        again = parse(written, validate=False)
        assert again == definition, file.name
        assert diff(definition, again) == []


def test_both_validators_agree(subject: Subject) -> None:
    """lxml, which runs the schemas, and xmlschema, which explains them."""
    explains = xmlschema.XMLSchema(str(schema_file(subject.name)))
    for file, text in subject.documents():
        root = etree.fromstring(text)
        assert explains.is_valid(root) is schema_for(subject.name).validate(root), file.name


def alike(one: etree._Element, other: etree._Element) -> bool:
    """The same but for white space, comments, and the order of children of different names."""
    ours, theirs = [*_children(one)], [*_children(other)]
    return (
        (one.tag, dict(one.attrib), _text(one)) == (other.tag, dict(other.attrib), _text(other))
        and len(ours) == len(theirs)
        and all(map(alike, sorted(ours, key=lambda c: str(c.tag)), sorted(theirs, key=lambda c: str(c.tag))))
    )


def _children(element: etree._Element) -> Iterator[etree._Element]:
    return (child for child in element if isinstance(child.tag, str))


def _text(element: etree._Element) -> str:
    return " ".join("".join([element.text or "", *(child.tail or "" for child in element)]).split())


def test_the_other_half_is_not_there() -> None:
    from interop.corpus import corpus, even

    files = [file for file in (corpus() / "tests").rglob("*") if file.is_file()]
    assert len(files) > 1000
    assert all(even(file.name) for file in files)
    assert Path(__file__).parents[2] not in corpus().parents
