"""What differs between two nodes of a kind, told in words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from engine.conf.nodes.node import Attr, Body, Child, Children, Flag, Node, Open, Other, Text
from engine.conf.nodes.plan import Field, plan_of
from engine.conf.nodes.values import HIDDEN, Pattern
from engine.conf.nodes.writing import shown_name, shown_raw, shown_value, text_of
from engine.conf.units import to_bytes

__all__ = ["Difference", "differences"]

_LONGEST = 120
# indentation, which a line has no room for
_GAPS = re.compile(r"\n *(?=<)")


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that differs.

    Attributes:
        xpath: where, ``/domain/devices/disk[target/@dev='vda']/driver/@cache``.
        kind: ``added`` | ``removed`` | ``changed``. of: ``value`` | ``element`` | ``order``.
        before, after: the values; of an element its beginning as XML, of an order the elements; None: there is none.
    """

    xpath: str
    kind: Literal["added", "removed", "changed"]
    of: Literal["value", "element", "order"] = "value"
    before: str | None = None
    after: str | None = None

    def __str__(self) -> str:
        quote = "'" if self.of == "value" else ""
        before, after = (f"{quote}{text}{quote}" for text in (self.before, self.after))
        if self.of == "order":
            return f"{self.xpath}: the order {before} became {after}"
        match self.kind:
            case "added":
                return f"{self.xpath}: {after} was added"
            case "removed":
                return f"{self.xpath}: {before} was removed"
        return f"{self.xpath}: {before} became {after}"


#: Whether a field of a node is left out of account.
Skips: TypeAlias = Callable[[type[Node], str], bool]


def differences(before: Node, after: Node, path: str, *, skips: Skips = lambda cls, name: False) -> list[Difference]:
    """All of them, in the order of the declarations; sizes are compared, not their units.

    Args:
        path: of the nodes themselves. skips: whether a field of a class is left out of account.
    """
    return list(_Comparison(skips).of_nodes(before, after, path))


class _Comparison:
    def __init__(self, skips: Skips) -> None:
        self._skips = skips

    def of_nodes(self, before: Node, after: Node, path: str, *, unit: str = "") -> Iterator[Difference]:
        if before == after:
            return
        ours, theirs = plan_of(type(before)).by_name, plan_of(type(after)).by_name
        same = before.size_fields if _size(before, unit) == _size(after, unit) is not None else ()
        for name in dict.fromkeys((*ours, *theirs)):
            if name in same or (self._skips(type(before), name) and self._skips(type(after), name)):
                continue
            field = theirs.get(name) or ours[name]
            nothing = False if field.place is Flag else () if field.many or field.place in (Children, Open) else None
            old = getattr(before, name) if name in ours else nothing
            new = getattr(after, name) if name in theirs else nothing
            if old != new and _canonical(field, old) != _canonical(field, new):
                yield from self._of_values(field, old, new, path, before.unit_inside)
        if before.other != after.other:
            yield from _of_others(before, after, path)

    def _of_values(self, field: Field, old: Any, new: Any, path: str, unit: str) -> Iterator[Difference]:
        place = field.place
        if place is Flag:
            tag = shown_name(field.tag)
            shown = f"<{tag}/>"
            yield _changed(f"{path}/{tag}", shown if old else None, shown if new else None, "element")
        elif place in (Attr, Body) or (place is Text and not field.many):
            tag = shown_name(field.tag)
            at = {Attr: f"{path}/@{tag}", Body: path}.get(place, f"{path}/{tag}")
            yield _changed(at, _written(field, old), _written(field, new))
        elif place is Child and not field.many:
            yield from self._of_pair(field.tag, old, new, f"{path}/{shown_name(field.tag)}", unit)
        elif place in (Child, Children):
            yield from self._of_lists(field, old or (), new or (), path)
        else:
            yield from _of_texts(field, old or (), new or (), path)

    def _of_pair(self, tag: str, old: Node | None, new: Node | None, path: str, unit: str = "") -> Iterator[Difference]:
        if old is None or new is None:
            yield _changed(path, _shown(tag, old), _shown(tag, new), "element")
        else:
            yield from self.of_nodes(old, new, path, unit=unit)

    def _of_lists(self, field: Field, old: Sequence[Node], new: Sequence[Node], path: str) -> Iterator[Difference]:
        """Elements with a name of their own are compared with their namesakes, others with those at their place."""
        olds, news = _named(field, old), _named(field, new)
        for name, node in olds.items():
            yield from self._of_pair(_tag(field, node), node, news.get(name), f"{path}/{name}")
        for name, node in news.items():
            if name not in olds:
                yield _changed(f"{path}/{name}", None, _shown(_tag(field, node), node), "element")
        yield from _of_order(path, [*olds], [*news], str)


def _canonical(field: Field, value: Any) -> Any:
    return field.value.canonical(value) if isinstance(field.value, Pattern) and isinstance(value, str) else value


def _size(node: Node, default: str) -> int | None:
    """In bytes, of a node that is a size; None where it has no unit, and not always the same without."""
    if not node.size_fields:
        return None
    number, unit = (getattr(node, name) for name in node.size_fields)
    try:
        return to_bytes(number, unit or node.default_unit or default)
    except ValueError:
        return None


def _named(field: Field, nodes: Sequence[Node]) -> dict[str, Node]:
    """Each by its tag and what tells it from its like, as a step of XPath."""
    named: dict[str, Node] = {}
    count: dict[str, int] = {}
    for node in nodes:
        tag = shown_name(_tag(field, node))
        count[tag] = count.get(tag, 0) + 1
        name = _predicate(node)
        key = f"{tag}{name or f'[{count[tag]}]'}"
        named[key if key not in named else f"{tag}[{count[tag]}]"] = node
    return named


def _predicate(node: Node) -> str:
    for known_by in node.known_by:
        parts: list[str] = []
        for name in known_by.split():
            value: Any = node
            steps: list[str] = []
            for step in name.split("."):
                field = plan_of(type(value)).by_name.get(step) if isinstance(value, Node) else None
                value = getattr(value, step, None) if field is not None else None
                if field is None or value is None:
                    break
                steps.append(f"@{field.tag}" if field.place is Attr else field.tag)
                value = _canonical(field, value)
                shown = value if isinstance(value, Node) or field.value is None else field.value.write(value)
            if value is None:
                break
            parts.append(f"{'/'.join(steps)}='{shown}'")
        else:
            return f"[{' and '.join(parts)}]"
    return ""


def _of_texts(field: Field, old: Sequence[str], new: Sequence[str], path: str) -> Iterator[Difference]:
    where = path if field.place is Open else f"{path}/{shown_name(field.tag)}"
    of: Literal["value", "element"] = "element" if field.place is Open else "value"
    gone, come = Counter(old) - Counter(new), Counter(new) - Counter(old)
    shown = shown_raw if field.place is Open else str
    for text in gone.elements():
        yield _changed(where, _short(shown(text)), None, of)
    for text in come.elements():
        yield _changed(where, None, _short(shown(text)), of)
    yield from _of_order(where, old, new, shown)


def _of_others(before: Node, after: Node, path: str) -> Iterator[Difference]:
    old, new = (node.other or Other() for node in (before, after))
    olds, news = dict(old.attributes), dict(new.attributes)
    for name in dict.fromkeys((*olds, *news)):
        if olds.get(name) != news.get(name):
            had, has = (None if name not in each else shown_value(name, each[name]) for each in (olds, news))
            yield _changed(f"{path}/@{shown_name(name)}", had, has)
    gone, come = Counter(old.children) - Counter(new.children), Counter(new.children) - Counter(old.children)
    for child in gone.elements():
        yield _changed(path, _short(shown_raw(child)), None, "element")
    for child in come.elements():
        yield _changed(path, None, _short(shown_raw(child)), "element")
    yield from _of_order(path, old.children, new.children, shown_raw)


def _of_order(path: str, old: Sequence[str], new: Sequence[str], shown: Callable[[str], str]) -> Iterator[Difference]:
    """If what is in both is in another order."""
    ours, theirs = _of_both(old, new), _of_both(new, old)
    if ours != theirs:
        before, after = (" ".join(map(shown, each)) for each in (ours, theirs))
        yield Difference(xpath=path, kind="changed", of="order", before=before, after=after)


def _of_both(texts: Sequence[str], others: Sequence[str]) -> list[str]:
    left, found = Counter(others), []
    for text in texts:
        if left[text]:
            left[text] -= 1
            found.append(text)
    return found


def _changed(path: str, old: str | None, new: str | None, of: Literal["value", "element"] = "value") -> Difference:
    kind: Literal["added", "removed", "changed"] = "added" if old is None else "removed" if new is None else "changed"
    return Difference(xpath=path, kind=kind, of=of, before=old, after=new)


def _tag(field: Field, node: Node) -> str:
    return next((tag for tag, nodes in field.tags if isinstance(node, nodes)), field.tag)


def _written(field: Field, value: Any) -> str | None:
    if value is None or field.value is None:
        return None
    return HIDDEN if field.value.secret else _cut(repr(field.value.write(value))[1:-1])


def _shown(tag: str, node: Node | None) -> str | None:
    return None if node is None else _short(_GAPS.sub("", text_of(tag, node, hide=True)))


def _short(text: str) -> str:
    return _cut(" ".join(text.split()))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
