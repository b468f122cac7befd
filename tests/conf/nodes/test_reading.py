"""Elements to nodes and back, and what is told of those that don't fit."""

from __future__ import annotations

import pickle
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec
import pytest
from lxml import etree
from support.elements import read_both
from support.shop import Box, Card, Cash, Lamp, Shop, Thing

from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.nodes.node import Definition, Node, Other
from engine.conf.nodes.node import Text as TextChild
from engine.conf.nodes.reading import MOST_PROBLEMS, Found, told
from engine.conf.nodes.straight import read_straight
from engine.conf.nodes.values import Written
from engine.conf.nodes.writing import write_document
from engine.conf.nodes.xsd import schema_of
from engine.errors import ConfigError

FULL = """\
<shop number='0x0f' big='yes' doorWidth='120' xmlns:o='urn:virengine:shop'>
  <!-- a comment -->
  <owner>Ada &amp; Co</owner>
  <shut/>
  <thing type='lamp' name='desk' watts='0x0028' dimmed='off'>
    <price currency='euro'>25</price>
    <colour>#ff0000</colour><colour>#00ff00</colour>
  </thing>
  <cash amount='007'/><card number='1'/><cash amount='9'/>
  <thing name='crate' mode='open'><thing type='box' name='inner'/></thing>
  <picked a='1' e='0' g='x' h='y'><d>text</d></picked>
  <notes><any xmlns='urn:x' a='1'>te<b/>xt</any><plain/></notes>
  <o:sign>open</o:sign>
</shop>"""


def read(text: str) -> tuple[Shop | None, list[str]]:
    found: list[Found] = []
    node = read_both((Shop,), etree.fromstring(text), found)
    assert node is None or isinstance(node, Shop)
    return node, [f"{problem.line} {problem}" for problem in told(found)]


def test_what_is_in_order_is_read_straight() -> None:
    """Else every document would be read twice."""
    assert read_straight((Shop,), etree.fromstring(FULL)) is not None
    assert read_straight((Shop,), etree.fromstring(FULL.replace("euro", "franc"))) is None
    for path in sorted((Path(__file__).parents[3] / "benchmarks").glob("*.xml")):
        text = path.read_text().replace("@UUID@", "8f8fb1f5-6a3c-4c7b-8c58-0d2d8f7a1c55")
        assert read_straight((DomainDocument,), etree.fromstring(text)) is not None


def shop(inside: str, attributes: str = "") -> tuple[Shop | None, list[str]]:
    return read(f"<shop {attributes}>\n<owner>Ada</owner>\n{inside}\n</shop>")


def alike(one: etree._Element, other: etree._Element) -> bool:
    """The same but for white space, and the order of children of different names."""
    if (one.tag, dict(one.attrib), (one.text or "").strip()) != (
        other.tag,
        dict(other.attrib),
        (other.text or "").strip(),
    ):
        return False
    ours, theirs = ([c for c in each if isinstance(c.tag, str)] for each in (one, other))
    key = [str(child.tag) for child in ours]
    pairs = zip(sorted(ours, key=lambda c: str(c.tag)), sorted(theirs, key=lambda c: str(c.tag)), strict=False)
    return len(key) == len(theirs) and all(alike(*pair) for pair in pairs)


def test_everything_has_its_place() -> None:
    found, problems = read(FULL)
    assert problems == []
    assert found is not None
    assert (found.number, found.big, found.door_width, found.owner, found.shut) == (15, True, 120, "Ada & Co", True)
    lamp, crate = found.things
    assert isinstance(lamp, Lamp)
    assert (lamp.name, lamp.watts, lamp.dimmed, lamp.colours) == ("desk", 40, False, ("#ff0000", "#00ff00"))
    assert lamp.price is not None
    assert (lamp.price.amount, lamp.price.currency, lamp.price.line) == (25, "euro", 6)
    assert isinstance(crate, Box)
    assert crate.type_ is None
    assert [type(thing) for thing in crate.things] == [Box]
    assert [type(each) for each in found.pays] == [Cash, Card, Cash]
    assert found.notes is not None
    assert len(found.notes.content) == 2
    assert found.ours == ('<o:sign xmlns:o="urn:virengine:shop">open</o:sign>',)
    assert found.other is None


def test_what_was_read_is_written_as_it_was() -> None:
    found, _ = read(FULL)
    assert found is not None
    text = write_document(found)
    assert alike(etree.fromstring(FULL), etree.fromstring(text))
    assert 'watts="0x0028"' in text
    again, problems = read(text)
    assert (again, problems) == (found, [])
    assert hash(again) == hash(found)
    assert write_document(again) == text  # type: ignore[arg-type]


def test_a_definition_that_was_made_is_written_as_the_type_has_it() -> None:
    lamp = Lamp(name="desk", type_="lamp", watts=40, dimmed=True)
    text = write_document(Shop(owner="Ada", number=255, things=(lamp,), door_width="wide"))
    assert text == (
        '<shop number="0xff" doorWidth="wide">\n  <owner>Ada</owner>\n'
        '  <thing name="desk" type="lamp" watts="0x0028" dimmed="on"/>\n</shop>\n'
    )
    assert read(text) == (Shop(owner="Ada", number=255, things=(lamp,), door_width="wide"), [])


def test_nodes_are_frozen_and_equal_wherever_they_stood() -> None:
    cash = Cash(amount=1, line=3)
    assert cash == Cash(amount=1, line=4)
    assert cash != Cash(amount=2, line=3)
    assert cash != Card(number="1")
    with pytest.raises(AttributeError):
        cash.amount = 2  # type: ignore[misc]
    assert msgspec.structs.replace(cash, amount=2).amount == 2


def test_a_number_keeps_how_it_was_written() -> None:
    number = Written(15, "0x0F")
    assert (number, hash(number), number.text) == (15, hash(15), "0x0F")
    again = pickle.loads(pickle.dumps(number))
    assert (again, again.text) == (15, "0x0F")


NUMBER = "a whole number from 0 to 4294967295"


@pytest.mark.parametrize(
    ("inside", "attributes", "problems"),
    [
        ("", "nummer='1'", ["1 /shop/@nummer: unknown attribute 'nummer' (did you mean 'number'?)"]),
        ("", "number='xyz'", ["1 /shop/@number: 'xyz' is not a hexadecimal number"]),
        ("", "big='ja'", ["1 /shop/@big: 'ja' is none of yes, no"]),
        ("", "big=''", ["1 /shop/@big: '' is none of yes, no"]),
        ("", "doorWidth='wid'", [
            f"1 /shop/@doorWidth: 'wid' is not 'wide', or {NUMBER} (did you mean 'wide'?)"]),
        ("<onwer/>", "", ["3 /shop/onwer: unknown <onwer> (did you mean 'owner'?)"]),
        ("<owner>Bob</owner>", "", ["3 /shop/owner[2]: <owner> may be there only once"]),
        ("<shut>now</shut>", "", ["3 /shop/shut: it may hold no text"]),
        ("<shut at='8'/>", "", ["3 /shop/shut/@at: unknown attribute 'at'"]),
        ("<shut><x/></shut>", "", ["3 /shop/shut/x: unknown <x>"]),
        ("words", "", ["1 /shop: it may hold no text"]),
        ("<x:y xmlns:x='urn:other'/>", "", ["3 /shop/x:y: unknown <y>"]),
        ("<cash/>", "", ["3 /shop/cash: it lacks its attribute 'amount'"]),
        ("<cash amount='-1'/>", "", ["3 /shop/cash/@amount: '-1' is not a whole number from 0 to 4294967295"]),
        ("<thing type='lamp' name='a'>\n<price/></thing>", "", [
            f"4 /shop/thing/price: it is empty, and not {NUMBER}"]),
        ("<thing type='lamb' name='a'/>", "", [
            "3 /shop/thing/@type: 'lamb' is none of lamp, box (did you mean 'lamp'?)"]),
        ("<thing type='lamp' name='a' mode='open'/>", "", ["3 /shop/thing/@mode: unknown attribute 'mode'"]),
        ("<thing type='lamp'><colour>red</colour></thing>", "", [
            "3 /shop/thing: it lacks its attribute 'name'",
            "3 /shop/thing/colour: 'red' is not a colour such as #00ff00"]),
        ("<picked e='1'/>", "", ["3 /shop/picked: it lacks 'a' or 'b'"]),
        ("<picked a='1' b='2' f='1'/>", "", ["3 /shop/picked: 'a' and 'b' can't both be there"]),
        ("<picked a='1' e='1'><c/><d>x</d></picked>", "", ["3 /shop/picked: <c> and <d> can't both be there"]),
        ("<picked a='1'/>", "", ["3 /shop/picked: it lacks 'e' or 'f'"]),
        ("<picked a='1' e='1' g='1'/>", "", ["3 /shop/picked: 'g' needs 'h'"]),
        ("<picked a='1' e='1' i='1'/>", "", ["3 /shop/picked: 'i' needs 'j'"]),
        ("<picked a='1' e='13'/>", "", ["3 /shop/picked: 13 is bad luck"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(inside: str, attributes: str, problems: Sequence[str]) -> None:
    assert sorted(shop(inside, attributes)[1]) == sorted(problems)


def test_all_that_is_wrong_is_told_at_once_by_line() -> None:
    _, problems = read("<shop big='x'>\n<cash/>\n<thing type='q'/>\n<card number='1' x='1'/>\n</shop>")
    assert [problem.split()[:2] for problem in problems] == [
        ["1", "/shop/@big:"],
        ["1", "/shop:"],
        ["2", "/shop/cash:"],
        ["3", "/shop/thing/@type:"],
        ["3", "/shop/thing:"],  # which lacks its name, whatever it is
        ["4", "/shop/card/@x:"],
    ]


def test_whatever_the_shape_is_its_faults_are_told() -> None:
    assert shop("<thing type='lump' naem='x'><price currency='yen'>2</price></thing>")[1] == [
        "3 /shop/thing/@type: 'lump' is none of lamp, box (did you mean 'lamp'?)",
        "3 /shop/thing/price/@currency: 'yen' is none of euro, krone",
        "3 /shop/thing: it lacks its attribute 'name'",
    ]


def test_shapes_in_shapes_that_none_fits_take_no_long_time() -> None:
    begin = time.process_time()
    depth = 120
    shop("<thing type='bxo' name='x'>" * depth + "</thing>" * depth)
    shop("<thing type='box' name='x' mode='ajar'>" * depth + "</thing>" * depth)
    assert time.process_time() - begin < 5


def test_a_shape_that_nearly_fits_tells_what_is_wrong_with_it() -> None:
    assert shop("<thing name='a' mode='ajar'/>")[1] == [
        "3 /shop/thing/@mode: 'ajar' is none of open, closed",
    ]


def test_what_is_not_declared_is_kept() -> None:
    text = (
        "<shop extra='1' xmlns:x='urn:y'>\n<owner>Ada</owner><x:a b='c'>d</x:a>\n<cash amount='1'><old/></cash></shop>"
    )
    found, problems = read(text)
    assert len(problems) == 3
    assert found is not None
    assert found.other is not None
    assert found.other.attributes == (("extra", "1"),)
    assert found.pays[0].other == Other(children=("<old/>",))
    assert alike(etree.fromstring(write_document(found)), etree.fromstring(text))


def test_a_child_without_what_it_needs_is_no_missing_child() -> None:
    _, problems = read("<shop><owner><b/></owner></shop>")
    assert problems == ["1 /shop/owner/b: unknown <b>"]
    found, problems = read("<shop/>")
    assert found is None
    assert problems == ["1 /shop: it lacks its element <owner>"]


@pytest.mark.parametrize("bomb", ["<cash amount='1'/>", "<cash amount='x'/>", "<cash/>", "<thing type='z'/>", "<zz/>"])
def test_time_grows_no_faster_than_the_document(bomb: str) -> None:
    """So it may take no more than some times as long for ten times as much: with the square it would be a hundred."""

    def seconds(number: int) -> float:
        root = etree.fromstring(f"<shop><owner>a</owner>{bomb * number}</shop>")
        found: list[Found] = []
        begin = time.process_time()
        read_both((Shop,), root, found)
        assert len(told(found)) <= MOST_PROBLEMS
        return time.process_time() - begin

    small = max(seconds(2_000), 0.001)
    # once is enough: whatever else goes on makes it slower, and never quicker
    assert any(seconds(20_000) < 40 * small for _ in range(5))


def test_a_comment_parts_no_text() -> None:
    found, problems = read(
        "<shop><owner>A<!-- d -->da</owner><thing name='b'><price>1<!-- x -->2</price></thing></shop>"
    )
    assert problems == []
    assert found is not None
    assert found.owner == "Ada"
    thing = found.things[0]
    assert isinstance(thing, Thing)
    assert thing.price is not None
    assert thing.price.amount == 12


class Told(Node):
    """An element that is a text in one shape of its parent, and has parts in another."""

    name: str


class Texts(Node):
    kind: Literal["texts"]
    word: Annotated[str, TextChild]


class Parts(Node):
    kind: Literal["parts"]
    word: Told


def test_text_where_another_shape_has_some_is_seen_whatever_a_schema_says() -> None:
    """Both shapes are one type in a schema, which lets text stand in either."""
    schema = etree.XMLSchema(etree.fromstring(schema_of("it", (Texts, Parts)).encode()))
    element = etree.fromstring("<it kind='parts'><word name='x'>stray</word></it>")
    assert schema.validate(element)
    found: list[Found] = []
    read_both((Texts, Parts), element, found)
    assert [str(problem) for problem in told(found)] == ["/it/word: it may hold no text"]


SPACE = "urn:virengine:elsewhere"


class Elsewhere(Definition):
    kind: ClassVar[str] = "place"
    note: Annotated[str | None, TextChild("note", namespace=SPACE)] = None
    inner: Elsewhere | None = None


@pytest.mark.parametrize("note", ["", "a"])
def test_a_namespace_is_declared_for_whatever_is_of_it(note: str) -> None:
    place = Elsewhere(inner=Elsewhere(note=note))
    root = etree.fromstring(write_document(place))
    assert root.findtext(f"inner/{{{SPACE}}}note") == note
    assert read_both((Elsewhere,), root, []) == place


def test_a_node_that_does_not_belong_there_is_refused_when_it_is_written() -> None:
    with pytest.raises(TypeError, match="'pays' can't hold a Box"):
        write_document(Shop(owner="Ada", pays=(Box(name="x"),)))  # type: ignore[arg-type]


def test_white_space_around_a_value_is_what_is_said_to_be_wrong() -> None:
    _, found = shop("<thing type='lamp' name='x' watts=' 0x1'/>")
    assert found == ["3 /shop/thing/@watts: there may be no white space around '0x1'"]


def test_attributes_of_several_namespaces() -> None:
    text = "<shop xmlns:p='urn:p' xmlns:q='urn:q' p:x='1' q:y='2' xml:lang='en'><owner q:z='3'>Ada</owner></shop>"
    found: list[Found] = []
    node = read_both((Shop,), etree.fromstring(text.replace(" q:z='3'", "")), found)
    assert isinstance(node, Shop)
    again = etree.fromstring(write_document(node))
    assert dict(again.attrib) == {
        "{urn:p}x": "1",
        "{urn:q}y": "2",
        "{http://www.w3.org/XML/1998/namespace}lang": "en",
    }


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (Shop(owner="a\x01b"), "a value holds U+0001, which XML can't"),
        (Shop(owner="a", things=(Box(name="\ufffe"),)), "a value holds U+FFFE, which XML can't"),
        (Shop(owner="a\ud800"), "a value holds U+D800, which XML can't"),
        (Shop(owner="a", ours=("<a/><b/>",)), "not well-formed XML"),
        (Shop(owner="a", ours=("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",)), "document type"),
    ],
)
def test_what_xml_can_not_hold_is_not_written(wrong: Shop, reason: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(reason)):
        write_document(wrong)
