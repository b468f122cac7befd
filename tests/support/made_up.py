"""Definitions made up by hypothesis, from the declarations themselves."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

from engine.conf.nodes.node import Body, Flag, Node, Open
from engine.conf.nodes.plan import Field, plan_of
from engine.conf.nodes.values import Anything, Choice, NoValue, Number, OneOf, Pattern, ValueType, Words

# what XML can hold, and reads back as it was written: no controls, no surrogates, no line ends of other kinds
_TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cn", "Cc")), max_size=8)
_FOREIGN = ('<x:y xmlns:x="urn:x" a="1">text<x:z/></x:y>', '<q xmlns="urn:q"/>')


def values(kind: ValueType) -> st.SearchStrategy[Any]:
    """What the type allows, as it reads it."""
    match kind:
        case Choice():
            return st.sampled_from(list(kind.words))
        case Words():
            return st.booleans()
        case Number():
            plain = st.integers(kind.low, kind.high if kind.high is not None else kind.low + 1000)
            return st.builds(kind.write, plain).filter(lambda text: _allowed(kind, text)).map(kind.read)
        case Pattern():
            return st.from_regex(kind.pattern, fullmatch=True).filter(
                lambda text: text.isprintable() and len(text) < 200 and _allowed(kind, text)
            )
        case OneOf():
            each = st.one_of([values(inner) for inner in kind.types])
            return each.filter(lambda value: _allowed(kind, kind.write(value))).map(lambda v: kind.read(kind.write(v)))
        case Anything():
            return _TEXT
    raise TypeError(kind)


def _allowed(kind: ValueType, text: str) -> bool:
    try:
        kind.read(text)
    except NoValue:
        return False
    return True


def nodes(cls: type[Node], *, depth: int = 4) -> st.SearchStrategy[Node]:
    """Nodes of a class that keep its rules; below ``depth`` only what is required."""
    return _nodes(cls, depth)


@cache
def _nodes(cls: type[Node], depth: int) -> st.SearchStrategy[Node]:
    @st.composite
    def build(draw: st.DrawFn) -> Node:
        plan = plan_of(cls)
        given: dict[str, Any] = {}
        for field in plan.fields:
            if field.required or (depth > 0 and draw(st.integers(0, 3)) == 0):
                given[field.name] = draw(_field(field, depth))
        return cls(**given)

    plan = plan_of(cls)
    return build().filter(_keeps_its_rules) if cls.rules or plan.checks else build()


def _keeps_its_rules(node: Node) -> bool:
    from lxml import etree

    from engine.conf.nodes.reading import Found, read_node
    from engine.conf.nodes.writing import text_of

    found: list[Found] = []
    try:
        read_node((type(node),), etree.fromstring(text_of("it", node)), found)
    except ValueError:
        return False
    return not found


def _field(field: Field, depth: int) -> st.SearchStrategy[Any]:
    one: st.SearchStrategy[Any]
    if field.place is Flag:
        return st.just(True)
    if field.place is Open:
        own = f'<o:x xmlns:o="{field.namespace}" b="2"/>'
        foreign = _FOREIGN if field.namespace.startswith("##") else (own,)
        return st.lists(st.sampled_from(foreign), max_size=2).map(tuple)
    if field.tags or field.nodes:
        classes = [node for _, of in field.tags for node in of] if field.tags else field.nodes
        one = st.deferred(lambda: st.one_of([_nodes(node, depth - 1) for node in classes]))
    else:
        assert field.value is not None
        one = values(field.value)
        if field.place is Body and not field.required:
            one = one.filter(lambda value: str(value).strip() != "")
    return st.lists(one, min_size=int(field.required), max_size=3).map(tuple) if field.many else one
