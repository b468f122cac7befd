"""Differences in words."""

from __future__ import annotations

from support.shop import Box, Card, Cash, Lamp, Notes, Price, Rules, Shop

from engine.conf.nodes.differences import differences
from engine.conf.nodes.values import Written


def told(before: Shop, after: Shop) -> list[str]:
    return [str(difference) for difference in differences(before, after, "/shop")]


def test_values_that_are_there_and_not() -> None:
    before = Shop(owner="Ada", number=15, big=True)
    after = Shop(owner="Bob", number=16, shut=True, notes=Notes(content=("<x/>",)))
    assert told(before, after) == [
        "/shop/@number: '0xf' became '0x10'",
        "/shop/@big: 'yes' was removed",
        "/shop/owner: 'Ada' became 'Bob'",
        "/shop/shut: <shut/> was added",
        "/shop/notes: <notes><x/></notes> was added",
    ]
    assert told(after, before)[-1] == "/shop/notes: <notes><x/></notes> was removed"


def test_how_a_number_was_written_is_no_difference() -> None:
    assert told(Shop(owner="Ada", number=15), Shop(owner="Ada", number=Written(15, "0x0f"))) == []


def test_elements_with_a_name_are_compared_with_their_namesakes() -> None:
    desk = Lamp(name="desk", type_="lamp", price=Price(amount=5))
    before = Shop(owner="Ada", things=(desk, Box(name="crate"), Box(name="case")))
    after = Shop(owner="Ada", things=(Box(name="bin"), Box(name="case"), Lamp(name="desk", type_="lamp", watts=5)))
    assert told(before, after) == [
        "/shop/thing[@name='desk']/price: <price>5</price> was removed",
        "/shop/thing[@name='desk']/@watts: '0x0005' was added",
        "/shop/thing[@name='crate']: <thing name=\"crate\"/> was removed",
        "/shop/thing[@name='bin']: <thing name=\"bin\"/> was added",
    ]


def test_an_order_of_their_own() -> None:
    before = Shop(owner="Ada", things=(Box(name="a"), Box(name="b")))
    after = Shop(owner="Ada", things=(Box(name="b"), Box(name="a")))
    assert told(before, after) == [
        "/shop: the order thing[@name='a'] thing[@name='b'] became thing[@name='b'] thing[@name='a']"
    ]


def test_elements_without_a_name_are_compared_with_those_at_their_place() -> None:
    before = Shop(owner="Ada", pays=(Cash(amount=1), Card(number="2"), Cash(amount=3)))
    after = Shop(owner="Ada", pays=(Cash(amount=1), Card(number="2"), Cash(amount=4), Cash(amount=5)))
    assert told(before, after) == [
        "/shop/cash[2]/@amount: '3' became '4'",
        '/shop/cash[3]: <cash amount="5"/> was added',
    ]


def test_a_shape_that_became_another() -> None:
    before = Shop(owner="Ada", things=(Lamp(name="x", type_="lamp", watts=1),))
    after = Shop(owner="Ada", things=(Box(name="x", mode="open"),))
    assert told(before, after) == [
        "/shop/thing[@name='x']/@type: 'lamp' was removed",
        "/shop/thing[@name='x']/@watts: '0x0001' was removed",
        "/shop/thing[@name='x']/@mode: 'open' was added",
    ]


def test_texts_and_long_ones() -> None:
    before = Shop(owner="Ada", ours=("<a/>", "<b/>"), picked=Rules(a="x" * 500))
    after = Shop(owner="Ada", ours=("<b/>", "<c/>"), picked=Rules(a="y"))
    lines = told(before, after)
    assert lines[1:] == ["/shop: <a/> was removed", "/shop: <c/> was added"]
    assert len(lines[0]) < 200
