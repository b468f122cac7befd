"""Domain documents: what is read, what is kept, what is refused and how."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.conf import parse_domain
from engine.conf.document import LIMITS
from engine.conf.units import to_kib
from engine.errors import ConfigError

MINIMAL = "<domain type='test'><name>web</name>{}</domain>"


def test_the_head_is_typed_and_the_text_is_kept() -> None:
    text = (
        "<domain type='kvm'>\n <name>web</name>\n <uuid>6695EB01f6a4830479aa97f2502e193f</uuid>\n"
        " <memory unit='GiB'>1</memory><currentMemory>524288</currentMemory>\n <vcpu current='1'>4</vcpu>\n"
        " <resource><partition>/machine/production</partition></resource>\n <!-- kept --><unknown a='1'/>\n</domain>"
    )
    definition = parse_domain(text)
    assert (definition.type, definition.name) == ("kvm", "web")
    assert definition.uuid == "6695eb01-f6a4-8304-79aa-97f2502e193f"
    assert (definition.memory, definition.current_memory, definition.vcpus) == (1048576, 524288, 4)
    assert definition.partition == "/machine/production"
    assert definition.text == text


def test_a_missing_uuid_is_made_up_and_put_into_the_text() -> None:
    definition = parse_domain(MINIMAL.format(""))
    assert f"<uuid>{definition.uuid}</uuid>" in definition.text
    assert parse_domain(definition.text).uuid == definition.uuid


def test_a_declared_encoding_does_not_outlive_decoding() -> None:
    data = "<?xml version='1.0' encoding='ISO-8859-1'?><domain type='test'><name>wéb</name></domain>".encode("latin-1")
    definition = parse_domain(data)
    assert definition.name == "wéb"
    assert parse_domain(definition.text.encode()).name == "wéb"
    assert (
        parse_domain("<?xml version='1.0' encoding='ISO-8859-1'?><domain type='test'><name>wéb</name></domain>").name
        == "wéb"
    )


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("<domain type='test'>\n<name>web</nam></domain>", 2, "not well-formed XML: Opening and ending tag mismatch"),
        ("<network/>", 1, "expected <domain>, found <network>"),
        ("<domain><name>web</name></domain>", 1, "<domain> lacks its attribute 'type'"),
        ("<domain type='test'/>", 1, "the domain has no <name>"),
        ("<domain type='test'>\n<name> </name></domain>", 2, "the domain has no <name>"),
        ("<domain type='test'>\n<name>a/b</name></domain>", 2, "may not hold a slash"),
        ("<domain type='test'><name>..</name></domain>", 1, "is not a name"),
        ("<domain type='test'><name>a\u202eb</name></domain>", 1, "unprintable"),
        (f"<domain type='test'><name>{'x' * 251}</name></domain>", 1, "longer than 250 bytes"),
        (MINIMAL.format("<memory>99999999999999999999</memory>"), 1, "is too much"),
        (MINIMAL.format("\n\n<uuid>zz</uuid>"), 3, "<uuid> 'zz' is not a UUID"),
        (MINIMAL.format("\n<memory>-1</memory>"), 2, "<memory>: '-1' is not a whole number"),
        (MINIMAL.format("\n<memory unit='parsec'>1</memory>"), 2, "<memory>: unknown unit 'parsec'"),
        (MINIMAL.format("\n<vcpu>0</vcpu>"), 2, "<vcpu> '0' is not a number of CPUs"),
        ("", 1, "not well-formed XML"),
        ("<!DOCTYPE d [<!ENTITY a 'b'>]><domain type='test'><name>&a;</name></domain>", 1, "document type"),
    ],
)
def test_a_wrong_document_is_refused_with_its_line(text: str, line: int | None, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_domain(text, source="web.xml")
    assert reason in caught.value.reason
    assert caught.value.line == line
    assert str(caught.value).startswith("web.xml:")


def test_a_document_over_the_limit_is_refused() -> None:
    with pytest.raises(ConfigError, match="larger than 16 MiB"):
        parse_domain(MINIMAL.format("x" * LIMITS.size))


def test_a_billion_laughs_is_refused_at_once() -> None:
    entities = "".join(f"<!ENTITY e{n} '{f'&e{n - 1};' * 10}'>" for n in range(1, 12))
    with pytest.raises(ConfigError):
        parse_domain(f"<!DOCTYPE d [<!ENTITY e0 'ha'>{entities}]><domain type='test'><name>&e11;</name></domain>")


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"<domain type='test'><name>{text}"))
def test_nothing_but_a_config_error_comes_of_garbage(data: bytes | str) -> None:
    with pytest.raises(ConfigError):
        parse_domain(data)


@pytest.mark.parametrize(
    ("number", "unit", "kib"),
    [
        ("1", None, 1),
        ("1", "b", 1),
        ("1025", "bytes", 2),
        ("1", "KB", 1),
        ("1", "k", 1),
        ("1", "GiB", 1048576),
        ("1", "GB", 976563),
        ("2", "t", 2147483648),
    ],
)
def test_units_are_libvirts(number: str, unit: str | None, kib: int) -> None:
    assert to_kib(number, unit) == kib
