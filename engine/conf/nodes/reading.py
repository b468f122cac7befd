"""Elements to nodes. What is wrong is gathered, all of it, with line and path; what is not declared is kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from lxml import etree

from engine.conf.document import is_indentation, keeps_its_space, line_of, suggest
from engine.conf.nodes.node import Body, Child, Children, Flag, Node, Open, Other, Rule, Text
from engine.conf.nodes.plan import Field, Nodes, Plan, Shapes, plan_of, shapes_of
from engine.conf.nodes.values import BLANKS, Choice, NoValue, OneOf, ValueType, Words, collapsed
from engine.errors import Problem

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

__all__ = ["MOST_PROBLEMS", "Found", "is_open", "raw_text", "read_node", "text_of_element", "told"]

#: More than that of one document nobody reads, and each costs a look at its place.
MOST_PROBLEMS = 1000
# where children that are not declared are gathered
_LOST = "<lost>"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A problem as it is found: its place is worked out only if it is told."""

    element: Any
    below: str = ""
    reason: str
    value: str = ""
    allowed: tuple[str, ...] = ()
    word: str = ""  # for which one that is near is looked for among what is allowed
    held: bool = False  # the node holds it all the same


def read_node(nodes: Nodes, element: Element, problems: list[Found]) -> Node | None:
    """The element as one of ``nodes``; None if what it must have is missing or wrong.

    Args:
        problems: where all that is wrong with it, and with what it holds, is added.
    """
    return _reader_of(nodes).read(element, problems)


def told(problems: Sequence[Found]) -> list[Problem]:
    """They, in the order of the document's lines; no more than ``MOST_PROBLEMS``."""
    found = [
        Problem(
            line=line_of(each.element) or 0,
            xpath=each.element.getroottree().getpath(each.element) + each.below,
            reason=each.reason + (suggest(each.word, each.allowed) if each.word else ""),
            value=each.value,
            allowed=each.allowed,
        )
        for each in problems[:MOST_PROBLEMS]
    ]
    return sorted(found, key=lambda problem: problem.line)


class _Reader(Protocol):
    def read(self, element: Element, problems: list[Found]) -> Node | None: ...


@cache
def _reader_of(nodes: Nodes) -> _Reader:
    return _NodeReader(nodes[0]) if len(nodes) == 1 else _ShapesReader(nodes)


class _ShapesReader:
    """Reads elements that may have several shapes."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def read(self, element: Element, problems: list[Found]) -> Node | None:
        shapes = shapes_of(self._nodes)
        fitting = shapes.fitting(shapes.values(element))
        if len(fitting) == 1:
            return _reader_of(fitting).read(element, problems)
        best, found = _best((_reader_of((node,)) for node in fitting), element)
        if best is not None:
            problems += best
            return found
        return _read_unfitting(shapes, element, problems)


def _best(readers: Iterable[_Reader], element: Element) -> tuple[list[Found] | None, Node | None]:
    """The reading with the fewest problems, and these; None: there are no readers."""
    best: list[Found] | None = None
    found: Node | None = None
    for reader in readers:
        tried = _Trial()
        read = reader.read(element, tried)
        if best is None or len(tried) < len(best):
            best, found = tried, read
        if not tried:
            break
    return best, found


class _Trial(list[Found]):
    """What is wrong with one of several readings: these don't try others in turn, or they would never end."""


def _told_by_all(nodes: Nodes, element: Element, wrong: Collection[str]) -> list[Found]:
    """What is wrong with an element whichever of these shapes it has, but for the words that are ``wrong``."""
    common: dict[tuple[Element, str, str], Found] | None = None
    for node in nodes:
        tried = _Trial()
        _reader_of((node,)).read(element, tried)
        told_here = {(found.element, found.below, found.reason): found for found in tried}
        common = told_here if common is None else {key: common[key] for key in common if key in told_here}
    at = {element.find(name) for name in wrong if name.startswith("./")}
    return [
        found
        for found in (common or {}).values()
        if found.element not in at
        and (found.element is not element or not (found.below.removeprefix("/@") in wrong or found.held))
    ]


def _read_unfitting(shapes: Shapes, element: Element, problems: list[Found]) -> Node | None:
    """None of the shapes fits: say which of the words that tell them apart is wrong, and read what can be read."""
    values = shapes.values(element)
    there = {name: value for name, value in zip(shapes.told_by, values, strict=True) if value is not None}
    unknown = {name for name, value in there.items() if collapsed(value) not in shapes.known(name)}
    meant = shapes.nearest(values, unknown)
    wrong = {name: words for name in unknown if (words := shapes.known(name, meant))}
    for name, words in sorted(wrong.items()):
        child = element.find(name) if name.startswith("./") else None
        at, below = (element, f"/@{name}") if child is None else (child, "")
        problems.append(_wrong_value(at, below, name, there[name], words))
    if wrong:
        problems += [] if isinstance(problems, _Trial) else _told_by_all(meant, element, wrong)
        return None
    # an attribute that this shape does not have is just that, whatever it says
    best, found = _best([_reader_of((node,)) for node in (meant if unknown else shapes.nearest(values))], element)
    if best:
        problems += best
        return found
    shown = ", ".join(f"{name.removeprefix('./')}='{value}'" for name, value in there.items())
    lacking = " and ".join(name for name in shapes.told_by if name not in there)
    reason = f"{shown} don't go together" if shown else f"it lacks its attribute {lacking}"
    problems.append(_problem(element, "", reason))
    return None


class _NodeReader:
    """Reads elements of one shape. Its parts are looked up once, since most of a document's time is spent here."""

    def __init__(self, cls: type[Node]) -> None:
        self._cls = cls
        self._plan: Plan | None = None  # made with the first element: nodes may hold themselves

    def _prepare(self) -> Plan:
        plan = plan_of(self._cls)
        self._attributes = {tag: (f.name, f.value.read) for tag, f in plan.attributes.items() if f.value is not None}
        self._children = {tag: self._child(tag, field) for tag, field in plan.children.items()}
        self._required = frozenset(field.name for field in plan.required)
        self._body, self._lists, self._rules, self._checks = plan.body, plan.lists, plan.cls.rules, plan.checks
        self._plan = plan  # last: another thread may look
        return plan

    def _child(self, tag: str, field: Field) -> tuple[str, bool, Any]:
        nodes = dict(field.tags).get(tag, field.nodes)
        return field.name, field.many, (_reader_of(nodes) if nodes else _PlainReader(field)).read

    def read(self, element: Element, problems: list[Found]) -> Node | None:
        plan = self._plan or self._prepare()
        begin = len(problems)
        values: dict[str, Any] = {"line": element.sourceline or 0}
        sound = True
        attributes = self._attributes
        items: Any = element.items()  # the stubs allow bytes
        for name, text in items:
            entry = attributes.get(name)
            if entry is None:
                _keep_attribute(plan, element, name, text, values, problems)
                continue
            try:
                values[entry[0]] = entry[1](text)
            except NoValue as exc:
                problems.append(_bad(element, f"/@{name}", name, text, exc, plan.attributes[name].value))
                sound = False
        if len(element):
            sound = self._read_children(plan, element, values, problems) and sound
        if self._body is not None:
            sound = _read_body(self._body, element, values, problems) and sound
        _check_text(plan, element, problems)
        if not self._required <= values.keys():
            _tell_missing(plan, element, values, problems, begin, sound)
            sound = False
        if self._rules:
            _check_rules(plan, values, element, problems)
        return self._made(element, values, problems) if sound else None

    def _read_children(self, plan: Plan, element: Element, values: dict[str, Any], problems: list[Found]) -> bool:
        sound = True
        children = self._children
        for child in element:
            found = children.get(child.tag)
            if found is None:
                _keep_child(plan, child, values, problems)
                continue
            name, many, read = found
            if not many and name in values:
                problems.append(_held(_problem(child, "", f"<{_shown(child.tag)}> may be there only once")))
                values.setdefault(_LOST, []).append(raw_text(child))
                continue
            value = read(child, problems)
            if value is None:
                sound = False
                values.setdefault(name, [] if many else None)
            elif many:
                values.setdefault(name, []).append(value)
            else:
                values[name] = value
        return sound

    def _made(self, element: Element, values: dict[str, Any], problems: list[Found]) -> Node:
        for name in self._lists:
            if name in values:
                values[name] = tuple(values[name])
        if _LOST in values:
            lost, kept = values.pop(_LOST), values.get("other") or Other()
            values["other"] = Other(attributes=kept.attributes, children=tuple(lost))
        node = self._cls(**values)
        if self._checks:
            problems.extend(_held(_problem(element, "", reason)) for reason in node.check())
        return node


def _tell_missing(
    plan: Plan, element: Element, values: dict[str, Any], problems: list[Found], begin: int, sound: bool
) -> None:
    for field in plan.required:
        if field.name not in values and (sound or not _said(element, field, problems[begin:])):
            problems.append(_missing(element, field))


def _keep_attribute(
    plan: Plan, element: Element, name: str, text: str, values: dict[str, Any], problems: list[Found]
) -> None:
    """An attribute that is not declared."""
    kept = values.get("other") or Other()
    values["other"] = Other(attributes=(*kept.attributes, (name, text)))
    problems.append(_unknown(element, "attribute", name, tuple(plan.attributes), f"/@{name}"))


def _keep_child(plan: Plan, child: Element, values: dict[str, Any], problems: list[Found]) -> None:
    """A child that is not declared, or a comment."""
    tag = child.tag
    if not isinstance(tag, str):
        return
    if plan.open is not None and is_open(plan.open, tag):
        values.setdefault(plan.open.name, []).append(raw_text(child))
        return
    values.setdefault(_LOST, []).append(raw_text(child))
    problems.append(_unknown(child, "element", tag, tuple(plan.children), ""))


def _check_text(plan: Plan, element: Element, problems: list[Found]) -> None:
    """There may be text only in a body, which comments may part."""
    own: Any = element.text
    if plan.body is None and own is not None and own.strip(BLANKS):
        problems.append(_stray(element))
    for child in element:
        tail = child.tail
        if tail is not None and tail.strip(BLANKS) and (plan.body is None or isinstance(child.tag, str)):
            problems.append(_stray(element))


class _PlainReader:
    """Reads children that are a text or a flag."""

    def __init__(self, field: Field) -> None:
        self._value = field.value

    def read(self, child: Element, problems: list[Found]) -> Any:
        """None if the text is wrong."""
        _must_be_bare(child, problems, text=self._value is not None)
        if self._value is None:
            return True
        text = text_of_element(child)
        try:
            return self._value.read(text)
        except NoValue as exc:
            problems.append(_bad(child, "", _shown(child.tag), text, exc, self._value))
            return None


def _read_body(field: Field, element: Element, values: dict[str, Any], problems: list[Found]) -> bool:
    text = text_of_element(element)
    if not field.required and not text.strip(BLANKS):
        return True
    try:
        values[field.name] = field.value.read(text)  # type: ignore[union-attr]
    except NoValue as exc:
        problems.append(_bad(element, "", _shown(element.tag), text, exc, field.value))
        values[field.name] = None
        return False
    return True


def text_of_element(element: Element) -> str:
    """Its own text, which comments may part."""
    text: Any = element.text or ""
    if len(element):
        text += "".join(child.tail or "" for child in element if not isinstance(child.tag, str))
    return text  # type: ignore[no-any-return]


def _must_be_bare(child: Element, problems: list[Found], *, text: bool) -> None:
    names: Any = child.keys()
    for name in names:
        problems.append(_held(_unknown(child, "attribute", name, (), f"/@{name}"), False))
    for inner in child:
        if isinstance(inner.tag, str):
            problems.append(_held(_unknown(inner, "element", inner.tag, (), ""), False))
    if not text and child.text is not None and child.text.strip(BLANKS):
        problems.append(_stray(child))


def is_open(field: Field, tag: str) -> bool:
    namespace = tag[1:].partition("}")[0] if tag.startswith("{") else ""
    return field.namespace == "##any" or (bool(namespace) and field.namespace in ("##other", namespace))


def raw_text(element: Element) -> str:
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
    """Takes away what writing puts there: white space with a line end, where nothing else is."""
    texts = (element.text, *(child.tail for child in element))
    if not len(element) or keeps_its_space(element) or any(text and not is_indentation(text) for text in texts):
        return
    element.text = None
    for child in element:
        _dedent(child)
        child.tail = None


def _check_rules(plan: Plan, values: dict[str, Any], element: Element, problems: list[Found]) -> None:
    for rule in plan.cls.rules:
        there = rule.there(values)
        if rule.is_broken(there):
            problems.append(_held(_problem(element, "", _why_broken(rule, there, plan))))


def _why_broken(rule: Rule, there: list[str], plan: Plan) -> str:
    fields = plan.by_name

    def shown(names: Sequence[str], word: str) -> str:
        each = [f"'{fields[n].tag}'" if fields[n].tag in plan.attributes else f"<{fields[n].tag}>" for n in names]
        return f" {word} ".join(each)

    lacking = [name for name in rule.fields if name not in there]
    if not there:
        return f"it lacks {shown(rule.fields, 'or')}"
    if rule.kind in ("exactly one", "at most one"):
        return f"{shown(there, 'and')} can't both be there"
    who = rule.fields[:1] if rule.kind == "needs" else there
    return f"{shown(who, 'and')} {'need' if len(who) > 1 else 'needs'} {shown(lacking, 'and')}"


# ---------------------------------------------------------------------------- what is wrong


def _problem(
    element: Element, below: str, reason: str, *, value: str = "", allowed: Sequence[str] = (), word: str = ""
) -> Found:
    return Found(element=element, below=below, reason=reason, value=value, allowed=tuple(allowed), word=word)


def _shown(tag: Any) -> str:
    return str(tag).rpartition("}")[2]


def _short(text: str) -> str:
    text = text.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return text if len(text) <= 80 else text[:79] + "…"


def _unknown(element: Element, what: str, name: str, known: Sequence[str], below: str) -> Found:
    word = _shown(name)
    shown = f"<{word}>" if what == "element" else f"attribute '{word}'"
    names = tuple(_shown(each) for each in known)
    word = "" if word in names else word  # only of another namespace
    return _held(_problem(element, below, f"unknown {shown}", value=_shown(name), allowed=names, word=word))


def _bad(element: Element, below: str, name: str, text: str, exc: NoValue, value: ValueType | None) -> Found:
    if value is not None and value.secret:
        return _problem(element, below, f"it is not {exc}", allowed=(str(exc),))
    words = value.types if isinstance(value, OneOf) else (value,)
    allowed = tuple(word for each in words if isinstance(each, Choice | Words) for word in each.words)
    if len(allowed) > 1 and all(isinstance(each, Choice | Words) for each in words):
        return _wrong_value(element, below, name, text, allowed)
    reason = f"'{_short(text)}' is not {exc}" if text.strip(BLANKS) else f"it is empty, and not {exc}"
    if value is not None and text != text.strip(BLANKS) and _is_valid(value, text.strip(BLANKS)):
        reason = f"there may be no white space around '{_short(text.strip(BLANKS))}'"
    word = _short(text) if allowed else ""
    return _problem(element, below, reason, value=_short(text), allowed=allowed or (str(exc),), word=word)


def _is_valid(value: ValueType, text: str) -> bool:
    try:
        value.read(text)
    except NoValue:
        return False
    return True


def _wrong_value(element: Element, below: str, name: str, text: str, allowed: Sequence[str]) -> Found:
    shown = ", ".join(allowed) if len(allowed) <= 12 else f"{', '.join(allowed[:12])}, ..."
    value = _short(text)
    return _problem(element, below, f"'{value}' is none of {shown}", value=value, allowed=allowed, word=value)


def _stray(element: Element) -> Found:
    return _problem(element, "", "it may hold no text")


def _held(found: Found, held: bool = True) -> Found:
    return msgspec.structs.replace(found, held=held)


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
