"""What holds for all documents of a kind that is declared, whatever is in them."""

from __future__ import annotations

from typing import cast

import pytest
import xmlschema
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from support.elements import read_both
from support.made_up import nodes
from support.shop import Shop

from engine.conf.nodes.differences import differences
from engine.conf.nodes.node import Definition, Node
from engine.conf.nodes.reading import Found
from engine.conf.nodes.writing import write_document
from engine.conf.nodes.xsd import schema_of

SCHEMA = schema_of("shop", (Shop,))
LXML = etree.XMLSchema(etree.fromstring(SCHEMA.encode()))
XMLSCHEMA = xmlschema.XMLSchema(SCHEMA)
shops = nodes(Shop)


@settings(max_examples=150, deadline=None)
@given(shops)
def test_what_is_written_is_read_again_as_it_was(shop: Node) -> None:
    text = write_document(cast("Definition", shop))
    found: list[Found] = []
    root = etree.fromstring(text)
    assert read_both((Shop,), root, found) == shop
    assert found == []
    assert LXML.validate(root), LXML.error_log
    assert XMLSCHEMA.is_valid(root)
    assert differences(shop, shop, "/shop") == []


@settings(max_examples=150, deadline=None)
@given(shops, st.data())
def test_both_validators_and_the_reader_agree_on_what_was_broken(shop: Node, data: st.DataObject) -> None:
    """The reader refuses whatever a schema refuses; both schemas refuse the same."""
    root = etree.fromstring(write_document(cast("Definition", shop)))
    element = data.draw(st.sampled_from([each for each in root.iter() if isinstance(each.tag, str)]))
    match data.draw(st.sampled_from(["rename", "attribute", "text", "remove"])):
        case "rename" if element is not root:
            element.tag = data.draw(st.sampled_from(["owner", "thing", "cash", "price", "other"]))
        case "attribute":
            name = data.draw(st.sampled_from(["name", "type", "amount", "big", "number", "x"]))
            element.set(name, data.draw(st.sampled_from(["", "1", "yes", "lamp", "box", "-1", "0xff", " 7 "])))
        case "text":
            element.text = data.draw(st.sampled_from(["", "x", "12", "#0000ff"]))
        case "remove" if element.attrib:
            del element.attrib[data.draw(st.sampled_from(sorted(element.attrib)))]
    root = etree.fromstring(etree.tostring(root))
    valid = LXML.validate(root)
    assert XMLSCHEMA.is_valid(root) is valid
    found: list[Found] = []
    read_both((Shop,), root, found)
    assert valid or found


@settings(max_examples=100, deadline=None)
@given(shops, shops)
def test_a_difference_is_told_where_there_is_one(before: Node, after: Node) -> None:
    told = differences(before, after, "/shop")
    assert bool(told) is (before != after)
    for difference in told:
        assert difference.before != difference.after
        assert str(difference).startswith("/shop")


@pytest.mark.parametrize("validator", [LXML.validate, XMLSCHEMA.is_valid])
def test_what_the_schema_can_not_say(validator: object) -> None:
    """A child twice, and shapes mixed: the reader's to refuse."""
    assert callable(validator)
    twice = etree.fromstring("<shop><owner>a</owner><owner>b</owner></shop>")
    mixed = etree.fromstring("<shop><owner>a</owner><thing name='x' type='lamp' mode='open'/></shop>")
    for root in (twice, mixed):
        found: list[Found] = []
        assert validator(root)
        read_both((Shop,), root, found)
        assert found
