"""``schemas/order.xsd`` and the parser agree about what may be declared."""

from __future__ import annotations

from pathlib import Path

import pytest
import xmlschema
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from engine.conf import parse_domain
from engine.errors import ConfigError

SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "order.xsd"
LXML = etree.XMLSchema(etree.parse(SCHEMA))
XMLSCHEMA = xmlschema.XMLSchema(SCHEMA)

WORDS = st.sampled_from(
    ["db", "web", "", "both", "stop", "agent", "acpi", "save", "tcp", "delay", "pause", "10", "0", "-1", "x"]
)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["domain", "when", "gate", "method", "timeout", "repeat", "seconds", "host", "port", "name", "on"]),
    WORDS,
    max_size=4,
)


@st.composite
def orders(draw: st.DrawFn) -> str:
    children = []
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(["requires", "after", "ready", "stop", "sleep", "tag", "try", "other"]))
        attributes = "".join(f' {key}="{value}"' for key, value in draw(ATTRIBUTES).items())
        inner = ""
        if name == "stop":
            steps = draw(st.lists(ATTRIBUTES, max_size=2))
            inner = "".join("<try" + "".join(f' {k}="{v}"' for k, v in step.items()) + "/>" for step in steps)
        children.append(f"<{name}{attributes}>{inner}</{name}>")
    return f'<order xmlns="urn:virengine:order:1">{"".join(children)}</order>'


def parses(order: str) -> bool:
    try:
        parse_domain(f"<domain type='test'><name>a</name><metadata>{order}</metadata></domain>")
    except ConfigError:
        return False
    return True


@given(orders())
@settings(max_examples=300)
def test_both_validators_agree_and_the_parser_takes_no_more_than_they(order: str) -> None:
    valid = LXML.validate(etree.fromstring(order))
    assert XMLSCHEMA.is_valid(order) == valid
    if parses(order):
        assert valid, order


@pytest.mark.parametrize(
    ("order", "valid"),
    [
        ("<requires domain='db'/><after domain='cache' when='stop'/><tag name='front'/>", True),
        ("<ready gate='tcp' host='h' port='80' timeout='9.5' on-timeout='go-on'/>", True),
        ("<stop on-failure='hold'><try method='acpi' timeout='60' repeat='10'/></stop>", True),
        ("<sleep method='pause'/>", True),
        ("<sleep method='dream'/>", False),
        ("<requires/>", False),
        ("<ready gate='pigeon'/>", False),
        ("<stop><try method='shout'/></stop>", False),
    ],
)
def test_known_documents(order: str, valid: bool) -> None:
    text = f'<order xmlns="urn:virengine:order:1">{order}</order>'
    assert LXML.validate(etree.fromstring(text)) is valid
    assert XMLSCHEMA.is_valid(text) is valid
    assert parses(text) is valid
