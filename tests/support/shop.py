"""A kind of document made up for the tests: it has every place that a value can stand in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, TypeAlias

from engine.conf.kinds.values import HexNumber, OnOff, UInt16, UnsignedInt, YesNo
from engine.conf.nodes.node import (
    Attr,
    Body,
    Child,
    Children,
    Definition,
    Flag,
    Node,
    Open,
    Text,
    at_least_one,
    at_most_one,
    exactly_one,
    needs,
    together,
)
from engine.conf.nodes.values import Pattern

OURS = "urn:virengine:shop"
Colour = Annotated[str, Pattern("colour", "#[0-9a-f]{6}", "a colour such as #00ff00")]


class Price(Node):
    """What it costs.

    Attributes:
        currency: of the amount.
    """

    amount: Annotated[UnsignedInt, Body]
    currency: Literal["euro", "krone"] | None = None


class Thing(Node):
    """Something to buy."""

    known_by = ("name",)
    name: str
    price: Price | None = None


class Lamp(Thing):
    """A lamp.

    Attributes:
        watts: it draws.
    """

    type_: Literal["lamp"]
    watts: UInt16 | None = None
    colours: Annotated[tuple[Colour, ...], Text("colour")] = ()
    dimmed: OnOff | None = None


class Box(Thing):
    """A box, with things in it."""

    type_: Literal["box"] | None = None
    mode: Literal["open", "closed"] | None = None
    things: Annotated[tuple[Lamp | Box, ...], Child("thing")] = ()


AnyThing: TypeAlias = Lamp | Box


class Cash(Node):
    """Notes and coins."""

    amount: UnsignedInt


class Card(Node):
    """A card."""

    number: str


class Rules(Node):
    """Which may be there with which."""

    rules = (exactly_one("a", "b"), at_most_one("c", "d"), at_least_one("e", "f"), together("g", "h"), needs("i", "j"))
    a: str | None = None
    b: str | None = None
    c: Annotated[bool, Flag] = False
    d: Annotated[str | None, Text] = None
    e: UnsignedInt | None = None
    f: UnsignedInt | None = None
    g: str | None = None
    h: str | None = None
    i: str | None = None
    j: str | None = None

    def check(self) -> Iterator[str]:
        if self.e == 13:
            yield "13 is bad luck"


class Notes(Node):
    """Whatever anybody wants to say."""

    content: Annotated[tuple[str, ...], Open("##any")] = ()


class Shop(Definition):
    """A shop.

    Attributes:
        number: in hexadecimal; big: or small.
        owner: who it belongs to; shut: for now.
        things: that it sells; pays: in turn, with what.
    """

    kind: ClassVar[str] = "shop"
    number: HexNumber | None = None
    big: YesNo | None = None
    door_width: Annotated[Literal["wide"] | UnsignedInt | None, Attr("doorWidth")] = None
    owner: Annotated[str, Text]
    shut: Annotated[bool, Flag] = False
    things: Annotated[tuple[AnyThing, ...], Child("thing")] = ()
    pays: Annotated[tuple[Cash | Card, ...], Children({"cash": Cash, "card": Card})] = ()
    picked: Rules | None = None
    notes: Notes | None = None
    ours: Annotated[tuple[str, ...], Open(OURS)] = ()
