"""Documents of any kind: limits, and what is said of wrong ones."""

from __future__ import annotations

import sys
import time

import pytest
from lxml import etree

from engine.conf.document import Limits
from engine.conf.documents import format, parse, validate
from engine.conf.domain import parse_domain
from engine.conf.schemas import is_valid
from engine.errors import ConfigError, InvalidDocument


def refused(text: str | bytes, **options: object) -> str:
    with pytest.raises(ConfigError) as failure:
        validate(text, **options)  # type: ignore[arg-type]
    return str(failure.value)


def test_a_document_has_limits_and_each_says_so() -> None:
    assert refused("<secret>" + "<a/>" * 25_000_000 + "</secret>") == "the document is larger than 16 MiB"
    assert refused("<secret/>", limits=Limits(size=8)) == "the document is larger than 8 bytes"
    assert refused("<secret a='1' b='2'/>", limits=Limits(attributes=1)) == (
        "line 1: an element has more than 1 attributes"
    )
    deep = "<secret>\n" + "<a>" * 300 + "</a>" * 300 + "</secret>"
    assert refused(deep) == "line 2: the document is too much to take: nested too deeply"
    assert refused("<secret>\n<a><b/></a></secret>", limits=Limits(depth=2)) == (
        "line 2: elements are nested more than 2 deep"
    )
    wide = (
        "<secret>\n<a " + " ".join(f"a{i}='some text or other, which is not short'" for i in range(501)) + "/></secret>"
    )
    assert refused(wide) == "line 2: an element has more than 500 attributes"
    text = "<secret><description>" + "x" * 11_000_000 + "</description></secret>"
    assert "a text in it is too long" in refused(text)


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE secret><secret/>",
        "<!DOCTYPE secret SYSTEM 'http://example.org/x.dtd'><secret/>",
        "<!DOCTYPE secret [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;'>]><secret><description>&b;</description></secret>",
        "<!DOCTYPE secret [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><secret><description>&a;</description></secret>",
    ],
)
def test_document_types_and_entities_are_refused(text: str) -> None:
    assert "document type" in refused(text) or "not well-formed" in refused(text)


@pytest.mark.parametrize(
    "bomb", ["<a/>", "<usage type='x'/>", "<usage type='tls'/>", "<uuid>x</uuid>", "<!-- -->", "x"]
)
def test_no_document_takes_more_than_its_length(bomb: str) -> None:
    """Ten times as much may take some times as long again: with the square it would be a hundred times."""

    def seconds(number: int) -> float:
        begin = time.process_time()
        validate("<secret>" + bomb * number + "</secret>")
        return time.process_time() - begin

    seconds(10)
    small = max(seconds(3_000), 0.02)
    assert seconds(30_000) < 40 * small


def test_what_no_definition_tells_the_schema_does() -> None:
    """Below an element whose shape can't be told, the reader does not look."""
    problems = validate("<secret>\n<usage type='vol'>\n<target>a/b</target></usage></secret>")
    assert [(problem.line, problem.xpath) for problem in problems] == [
        (2, "/secret/usage/@type"),
        (3, "/secret/usage/target"),
    ]


def test_xmlschema_is_not_imported_for_what_is_valid() -> None:
    before = "xmlschema" in sys.modules
    parse("<secret><usage type='tls'><name>a</name></usage></secret>")
    assert ("xmlschema" in sys.modules) is before


def test_the_message_of_a_refusal_tells_the_first_and_how_many_more() -> None:
    with pytest.raises(InvalidDocument) as failure:
        parse("<secret ephemeral='x'>\n<b/>\n</secret>", source="a.xml")
    assert str(failure.value) == "a.xml:1: /secret/@ephemeral: 'x' is none of yes, no (and 1 more)"
    assert [problem.line for problem in failure.value.problems] == [1, 2]


def test_what_is_not_declared_is_taken_where_that_is_wanted() -> None:
    definition = parse("<secret extra='1'><b/></secret>", validate=False)
    assert definition.other is not None
    assert definition.other.attributes == (("extra", "1"),)
    with pytest.raises(InvalidDocument):
        parse("<secret private='x'/>", validate=False)  # that can't be understood


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_document_type_is_refused_in_any_encoding(encoding: str) -> None:
    text = f"<?xml version='1.0' encoding='{encoding}'?><!DOCTYPE secret [<!ENTITY a 'b'>]><secret/>"
    assert "document type" in refused(text.encode(encoding)) or "not well-formed" in refused(text.encode(encoding))


def test_types_of_xml_schema_itself_are_refused() -> None:
    text = "<secret xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'><usage xsi:type='Foo' type='tls'/></secret>"
    assert any("unknown attribute" in problem.reason for problem in validate(text))


def test_documents_that_differ_only_in_their_source_are_the_same() -> None:
    one, other = (parse("<secret><description>a</description></secret>", source=name) for name in ("/x", "/y"))
    assert one == other
    assert len({one, other}) == 1


def test_what_only_libxml2_refuses_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.conf.examining.is_valid", lambda kind, root: False)
    [problem] = validate("<secret><description>a</description></secret>")
    assert (problem.line, problem.xpath, problem.reason) == (1, "/secret", "the schema does not take it")


def test_a_document_that_libxml2_gives_up_on_is_none_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Schema:
        def validate(self, root: object) -> bool:
            raise etree.XMLSchemaValidateError("Internal error in XML Schema validation.")

    monkeypatch.setattr("engine.conf.schemas.schema_for", lambda kind: Schema())
    assert not is_valid("secret", etree.fromstring("<secret/>"))


@pytest.mark.parametrize(
    ("wrong", "held"),
    [
        ("<title>x</title><title>y</title>", True),
        ("<title>x</title><name>other</name>", True),
        ("<clock offset='utc'/><clock offset='localtime'/>", True),
        ("<unknown a='1'>text</unknown>", True),
        ("stray", False),
        ("<devices>stray</devices>", False),
        ("<devices/>stray", False),
        ("<title x='1'>x</title>", False),
        ("<title><b/>x</title>", False),
        ("<features><acpi>x</acpi></features>", False),
    ],
)
def test_what_is_not_validated_is_held_or_refused(wrong: str, held: bool) -> None:
    text = f"<domain type='kvm'><name>web</name><memory>1</memory><os><type>hvm</type></os>{wrong}</domain>"
    assert validate(text)
    if not held:
        with pytest.raises(InvalidDocument):
            parse(text, validate=False)
        return
    written = format(parse(text, validate=False))
    assert parse(written, validate=False) == parse(text, validate=False)
    before, after = ([*etree.fromstring(each).iter()] for each in (text, written))
    assert sorted((e.tag, (e.text or "").strip()) for e in before) == sorted(
        (e.tag, (e.text or "").strip()) for e in after
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-15"])
def test_namespaces_have_a_limit_in_every_encoding(encoding: str) -> None:
    """What is kept of an element is given all namespaces that it stands among."""

    def document(number: int) -> bytes:
        declared = " ".join(f"xmlns:p{each}='urn:{each}'" for each in range(number))
        text = f"<?xml version='1.0' encoding='{encoding}'?>\n<secret>\n<a {declared}><b/></a></secret>"
        return text.encode(encoding)

    assert [problem.reason for problem in validate(document(100))] != []
    assert refused(document(101)) == "line 3: there are more than 100 namespaces at an element"


def test_namespaces_that_end_do_not_count() -> None:
    many = "<x:x xmlns:x='urn:x'/>" * 300
    before = "<domain type='kvm'><name>a</name><memory>1</memory><os><type>hvm</type></os>"
    assert validate(f"{before}<metadata>{many}</metadata></domain>") == []


@pytest.mark.parametrize(
    "wrong",
    [
        "type='\u00a0kvm'><",
        "type='kvm\u2003'><",
        "type='kvm'>\u00a0<",
        "type='kvm'><vcpu placement='\u00a0auto'>1</vcpu><",
    ],
)
def test_no_sign_but_those_that_xml_takes_for_it_is_white_space(wrong: str) -> None:
    text = f"<domain {wrong}name>a</name><memory>1</memory><os><type>hvm</type></os></domain>"
    assert validate(text)
    with pytest.raises(InvalidDocument):
        parse_domain(text, validate=True)
    with pytest.raises(InvalidDocument):
        parse(text)


HEAD = "<domain type='test'><name>nn</name><memory>65536</memory><os><type>hvm</type></os>"


@pytest.mark.parametrize(
    "empty",
    [
        "<features><acpi>\n</acpi></features>",
        "<devices><disk type='file'><target dev='vda'>\n</target><readonly>\n </readonly></disk></devices>",
        "<devices><disk type='file'><target dev='vda'/><readonly><!-- c -->\n</readonly></disk></devices>",
        "<cpu><feature name='vmx' policy='require'>\n</feature></cpu>",
    ],
)
def test_what_is_empty_may_be_closed_in_the_next_line(empty: str) -> None:
    text = f"{HEAD}{empty}</domain>"
    assert validate(text) == []
    assert parse(format(parse(text))) == parse(text)
    assert is_valid("domain", etree.fromstring(text))


def test_comments_are_no_faults_beside_others() -> None:
    text = (
        "<domain type='test'>\n<name>a<!-- x -->b</name>\n<memory>655<!-- y -->36</memory>\n"
        "<os><type>hvm<?pi z?></type></os>\n<foo/></domain>"
    )
    assert [f"{problem.line} {problem}" for problem in validate(text)] == ["5 /domain/foo: unknown <foo>"]


@pytest.mark.parametrize(
    ("controller", "reason"),
    [
        ("<controller type='sata' model='auto'/>", "unknown attribute 'model'"),
        ("<controller type='fdc' model='virtio-scsi'/>", "unknown attribute 'model'"),
        ("<controller type='sata' model='ahci'/>", "unknown attribute 'model'"),
    ],
)
def test_an_attribute_of_another_shape_is_kept_as_any_other(controller: str, reason: str) -> None:
    text = f"{HEAD}<devices>{controller}</devices></domain>"
    assert [problem.reason for problem in validate(text)] == [reason]
    written = format(parse(text, validate=False))
    assert "model=" in written
    assert parse(written, validate=False) == parse(text, validate=False)
