"""The types of values that the documents have."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from engine.conf.kinds.registry import KINDS, definition_classes
from engine.conf.kinds.values import LooseUnsignedInt, OctalMode, PositiveInt, UnsignedInt, XsdUnsignedInt
from engine.conf.nodes.node import Node
from engine.conf.nodes.plan import plan_of
from engine.conf.nodes.values import NoValue, Number, OneOf, Pattern, ValueType

LONG = 20_000
SIGNS = "0123456789abcdefABCDEFxXzZ.:-_+/,^ []{}*\\\n\u00e9"


def value_types() -> Iterator[ValueType]:
    """Those of all documents."""
    seen: set[type[Node]] = set()
    todo = [cls for kind in KINDS for cls in definition_classes(kind)]
    while todo:
        cls = todo.pop()
        if cls in seen:
            continue
        seen.add(cls)
        for field in plan_of(cls).fields:
            todo += field.nodes
            todo += (node for _, nodes in field.tags for node in nodes)
            if field.value is not None:
                yield from field.value.types if isinstance(field.value, OneOf) else (field.value,)


def patterns() -> list[str]:
    found: set[str] = set()
    for value in value_types():
        if isinstance(value, Pattern):
            found.add(value.pattern)
        elif isinstance(value, Number):
            found |= {pattern for pattern in (value.pattern, value.plain) if pattern}
    return sorted(found)


@pytest.mark.parametrize("pattern", patterns())
def test_a_long_value_takes_no_long_time_to_refuse(pattern: str) -> None:
    fits = re.compile(pattern).fullmatch
    begin = time.process_time()
    for sign in SIGNS:
        fits(f"{sign * LONG}\0")
    for one, other in itertools.product("0a.:-,/", repeat=2):
        fits(f"{(one + other) * (LONG // 2)}\0")
        fits(f"{one}{other * LONG}\0")
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    ("value", "spaced"),
    [(UnsignedInt, False), (PositiveInt, False), (OctalMode, False), (LooseUnsignedInt, True), (XsdUnsignedInt, True)],
)
def test_white_space_around_a_number_only_where_a_sign_may_be(value: Any, spaced: bool) -> None:
    """As libvirt's schemas have it."""
    number = get_args(value)[1]
    assert number.read("5") == 5
    if spaced:
        assert number.read(" 5\n") == 5
        return
    with pytest.raises(NoValue):
        number.read(" 5\n")
