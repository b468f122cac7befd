"""Elements to nodes. What is wrong is gathered, all of it, with line and path; what is not declared is kept."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import msgspec
from lxml import etree

from engine.conf.document import line_of, suggest
from engine.conf.nodes.node import Body, Child, Children, Flag, Node, Open, Other, Rule, Text
from engine.conf.nodes.plan import Field, Plan, plan_of, shapes_of
from engine.conf.nodes.values import Choice, NoValue, OneOf, ValueType, Words
from engine.errors import Problem

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

__all__ = ["Found", "read_node", "told"]

#: More than that of one document nobody reads, and each costs a look at its place.
MOST_PROBLEMS = 1000


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A problem as it is found: its place is worked out only if it is told."""

    element: Any
    below: str = ""
    reason: str
    value: str = ""
    allowed: tuple[str, ...] = ()
    severity: str = "error"


def read_node(nodes: tuple[type[Node], ...], element: Element, problems: list[Found]) -> Node | None:
    """The element as one of ``nodes``; None if what it must have is missing or wrong.

    Args:
        problems: where all that is wrong with it, and with what it holds, is added.
    """
    return _read(nodes, element, problems)


def told(problems: Sequence[Found]) -> list[Problem]:
    """They, in the order of the document's lines; no more than ``MOST_PROBLEMS``."""
    found = [
        Problem(
            line=line_of(each.element) or 0,
            xpath=each.element.getroottree().getpath(each.element) + each.below,
            reason=each.reason,
            value=each.value,
            allowed=each.allowed,
            severity=each.severity,
        )
        for each in problems[:MOST_PROBLEMS]
    ]
    return sorted(found, key=lambda problem: problem.line)


def _read(nodes: tuple[type[Node], ...], element: Element, problems: list[Found]) -> Node | None:
    if len(nodes) == 1:
        return _read_as(plan_of(nodes[0]), element, problems)
    shapes = shapes_of(nodes)
    fitting = shapes.fitting(shapes.values(element))
    if len(fitting) == 1:
        return _read_as(plan_of(fitting[0]), element, problems)
    best: list[Found] | None = None
    found: Node | None = None
    for node in fitting:
        tried: list[Found] = []
        read = _read_as(plan_of(node), element, tried)
        if best is None or len(tried) < len(best):
            best, found = tried, read
        if not tried:
            break
    if best is not None:
        problems += best
        return found
    return _read_unfitting(nodes, element, problems)


def _read_unfitting(nodes: tuple[type[Node], ...], element: Element, problems: list[Found]) -> Node | None:
    """None of the shapes fits: say which of the words that tell them apart is wrong, and read what can be read."""
    shapes = shapes_of(nodes)
    values = shapes.values(element)
    there = {name: value for name, value in zip(shapes.told_by, values, strict=True) if value is not None}
    for name, value in there.items():
        known = shapes.known(name)
        if value.strip() not in known:
            child = element.find(name) if name.startswith("./") else None
            at, below = (element, f"/@{name}") if child is None else (child, "")
            problems.append(_wrong_value(at, below, name, value, known))
            return None
    best: list[Found] | None = None
    for node in shapes.nearest(values):
        tried: list[Found] = []
        _read_as(plan_of(node), element, tried)
        if best is None or len(tried) < len(best):
            best = tried
    if best:
        problems += best
    else:
        shown = ", ".join(f"{name.removeprefix('./')}='{value}'" for name, value in there.items())
        lacking = " and ".join(name for name in shapes.told_by if name not in there)
        reason = f"{shown} don't go together" if shown else f"it lacks its attribute {lacking}"
        problems.append(_problem(element, "", reason))
    return None


def _read_as(plan: Plan, element: Element, problems: list[Found]) -> Node | None:
    values: dict[str, Any] = {"line": element.sourceline or 0}
    begin = len(problems)
    attributes, children = plan.attributes, plan.children
    lost_attributes: list[tuple[str, str]] | None = None
    lost_children: list[str] | None = None
    sound = True
    items: Any = element.items()  # the stubs allow bytes
    for name, text in items:
        field = attributes.get(name)
        if field is None:
            lost_attributes = lost_attributes or []
            lost_attributes.append((name, text))
            if name.startswith("{http://www.w3.org/2001/XMLSchema-instance}"):
                continue
            problems.append(_unknown(element, "attribute", name, tuple(attributes), f"/@{name}"))
            continue
        try:
            values[field.name] = field.value.read(text)  # type: ignore[union-attr]
        except NoValue as exc:
            problems.append(_bad(element, f"/@{name}", name, text, exc, field.value))
            sound = False
    for child in element:
        tag = child.tag
        field = children.get(tag)
        if field is None:
            if not isinstance(tag, str):
                continue
            if plan.open is not None and _is_open(plan.open, tag):
                values.setdefault(plan.open.name, []).append(_raw(child))
                continue
            lost_children = lost_children or []
            lost_children.append(_raw(child))
            problems.append(_unknown(child, "element", tag, tuple(children), ""))
            continue
        sound = _take(field, child, values, problems) and sound
    own: Any = element.text
    if plan.body is not None:
        sound = _read_body(plan.body, element, values, problems) and sound
    elif own is not None and own.strip():
        problems.append(_problem(element, "", "it may hold no text", value=_short(own)))
    for child in element:
        if child.tail is not None and child.tail.strip() and (plan.body is None or isinstance(child.tag, str)):
            problems.append(_problem(element, "", "it may hold no text", value=_short(child.tail)))
    for field in plan.required:
        if field.name not in values:
            if sound or not _said(element, field, problems[begin:]):
                problems.append(_missing(element, field))
            sound = False
    if plan.cls.rules:
        _check_rules(plan, values, element, problems)
    if not sound:
        return None
    for name in plan.lists:
        if name in values:
            values[name] = tuple(values[name])
    if lost_attributes or lost_children:
        values["other"] = Other(attributes=tuple(lost_attributes or ()), children=tuple(lost_children or ()))
    node = plan.cls(**values)
    if plan.checks:
        problems.extend(_problem(element, "", reason) for reason in node.check())
    return node


def _take(field: Field, child: Element, values: dict[str, Any], problems: list[Found]) -> bool:
    """Read one child into ``values``; False if what it must have is missing or wrong."""
    name = field.name
    place = field.place
    if not field.many and name in values:
        problems.append(_problem(child, "", f"<{_shown(child.tag)}> may be there only once"))
        return True
    value: Any
    if place is Flag:
        values[name] = True
        return _must_be_bare(child, problems, text=False)
    if place is Text:
        if not _must_be_bare(child, problems, text=True):
            return False
        try:
            value = field.value.read(_text_of(child))  # type: ignore[union-attr]
        except NoValue as exc:
            problems.append(_bad(child, "", _shown(child.tag), _text_of(child), exc, field.value))
            return False
    else:
        nodes = field.nodes if place is Child else dict(field.tags)[child.tag]
        value = _read(nodes, child, problems)
        if value is None:
            values.setdefault(name, [] if field.many else None)
            return False
    if field.many:
        values.setdefault(name, []).append(value)
    else:
        values[name] = value
    return True


def _read_body(field: Field, element: Element, values: dict[str, Any], problems: list[Found]) -> bool:
    text = _text_of(element)
    if not field.required and not text.strip():
        return True
    try:
        values[field.name] = field.value.read(text)  # type: ignore[union-attr]
    except NoValue as exc:
        problems.append(_bad(element, "", _shown(element.tag), text, exc, field.value))
        values[field.name] = None
        return False
    return True


def _text_of(element: Element) -> str:
    """Its own text, which comments may part."""
    text: Any = element.text or ""
    for child in element:
        if not isinstance(child.tag, str) and child.tail:
            text += child.tail
    return str(text)


def _must_be_bare(child: Element, problems: list[Found], *, text: bool) -> bool:
    names: Any = child.keys()
    for name in names:
        problems.append(_unknown(child, "attribute", name, (), f"/@{name}"))
    for inner in child:
        if isinstance(inner.tag, str):
            problems.append(_unknown(inner, "element", inner.tag, (), ""))
    if not text and child.text is not None and child.text.strip():
        problems.append(_problem(child, "", "it may hold no text", value=_short(child.text)))
    return True


def _is_open(field: Field, tag: str) -> bool:
    namespace = tag[1:].partition("}")[0] if tag.startswith("{") else ""
    return field.namespace == "##any" or (bool(namespace) and field.namespace in ("##other", namespace))


def _raw(element: Element) -> str:
    """As XML by itself: with its own namespaces and those it uses, and without indentation."""
    parent = element.getparent()
    around = parent.nsmap if parent is not None else {}
    own: Any = [prefix for prefix, uri in element.nsmap.items() if prefix and around.get(prefix) != uri]
    alone = deepcopy(element)
    alone.tail = None
    etree.cleanup_namespaces(alone, keep_ns_prefixes=own)
    _dedent(alone)
    return etree.tostring(alone, encoding="unicode")


def _dedent(element: Element) -> None:
    """Takes away what writing puts there."""
    if not len(element) or (element.text is not None and element.text.strip()):
        return
    element.text = None
    for child in element:
        _dedent(child)
        if child.tail is not None and not child.tail.strip():
            child.tail = None


def _check_rules(plan: Plan, values: dict[str, Any], element: Element, problems: list[Found]) -> None:
    for rule in plan.cls.rules:
        there = [name for name in rule.fields if _is_there(values.get(name))]
        if reason := _broken(rule, there, plan):
            problems.append(_problem(element, "", reason))


def _is_there(value: Any) -> bool:
    return value is not None and value != []  # a flag that is not there has no value here: False is a "no"


def _broken(rule: Rule, there: list[str], plan: Plan) -> str:
    fields = plan.by_name

    def shown(names: Sequence[str], word: str) -> str:
        each = [f"'{fields[n].tag}'" if fields[n].tag in plan.attributes else f"<{fields[n].tag}>" for n in names]
        return f" {word} ".join(each)

    match rule.kind:
        case "exactly one" | "at least one" if not there:
            return f"it lacks {shown(rule.fields, 'or')}"
        case "exactly one" | "at most one" if len(there) > 1:
            return f"{shown(there, 'and')} can't both be there"
        case "together" if there and len(there) < len(rule.fields):
            lacking = [name for name in rule.fields if name not in there]
            return f"{shown(there, 'and')} needs {shown(lacking, 'and')}"
        case "needs" if rule.fields[0] in there and len(there) < len(rule.fields):
            lacking = [name for name in rule.fields if name not in there]
            return f"{shown(rule.fields[:1], '')} needs {shown(lacking, 'and')}"
    return ""


# ---------------------------------------------------------------------------- what is wrong


def _problem(element: Element, below: str, reason: str, *, value: str = "", allowed: Sequence[str] = ()) -> Found:
    return Found(element=element, below=below, reason=reason, value=value, allowed=tuple(allowed))


def _shown(tag: Any) -> str:
    return str(tag).rpartition("}")[2]


def _short(text: str) -> str:
    text = text.strip()
    return text if len(text) <= 80 else text[:79] + "…"


def _unknown(element: Element, what: str, name: str, known: Sequence[str], below: str) -> Found:
    shown = f"<{_shown(name)}>" if what == "element" else f"attribute '{_shown(name)}'"
    names = tuple(_shown(each) for each in known)
    return _problem(element, below, f"unknown {shown}{suggest(_shown(name), names)}", value=_shown(name), allowed=names)


def _bad(element: Element, below: str, name: str, text: str, exc: NoValue, value: ValueType | None) -> Found:
    words = value.types if isinstance(value, OneOf) else (value,)
    allowed = tuple(word for each in words if isinstance(each, Choice | Words) for word in each.words)
    if len(allowed) > 1 and all(isinstance(each, Choice | Words) for each in words):
        return _wrong_value(element, below, name, text, allowed)
    reason = f"'{_short(text)}' is not {exc}{suggest(text, allowed)}" if text.strip() else f"it is empty, and not {exc}"
    return _problem(element, below, reason, value=_short(text), allowed=allowed or (str(exc),))


def _wrong_value(element: Element, below: str, name: str, text: str, allowed: Sequence[str]) -> Found:
    near = suggest(text, tuple(allowed))
    shown = ", ".join(allowed) if len(allowed) <= 12 else f"{', '.join(allowed[:12])}, ..."
    return _problem(
        element, below, f"'{_short(text)}' is none of {shown}{near}", value=_short(text), allowed=tuple(allowed)
    )


def _missing(element: Element, field: Field) -> Found:
    if field.place in (Text, Child, Flag):
        return _problem(element, "", f"it lacks its element <{_shown(field.tag)}>", allowed=(field.tag,))
    if field.place in (Children, Open):
        tags = " or ".join(f"<{tag}>" for tag, _ in field.tags)
        return _problem(element, "", f"it lacks {tags or 'what it holds'}")
    if field.place is Body:
        return _problem(element, "", f"it is empty, and not {field.value.what if field.value else 'text'}")
    return _problem(element, "", f"it lacks its attribute '{field.tag}'", allowed=(field.tag,))


def _said(element: Element, field: Field, problems: Sequence[Found]) -> bool:
    """A problem of that very attribute or child has been told: that it is missing too would mislead."""
    if field.place is Body:
        return any(found.element is element and not found.below for found in problems)
    at = f"/@{field.tag}"
    return any(found.below == at if found.element is element else found.element.tag == field.tag for found in problems)
