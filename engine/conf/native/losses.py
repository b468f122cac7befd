"""What of a definition is not said by a text that was made of it: found by reading the text again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from engine.conf.kinds.common import ScaledInteger
from engine.conf.nodes.node import Attr, Body, Child, Children, Flag, Node, Open, Text
from engine.conf.nodes.plan import Field, plan_of
from engine.errors import Problem

__all__ = ["losses"]


def losses(before: Node, after: Node, path: str, tool: str) -> tuple[Problem, ...]:
    """What ``before`` says and ``after`` does not, or otherwise; what only ``after`` says is none. By line.

    Args:
        path: of ``before``, as ``/domain``.
        tool: whose configuration it is, for messages.
    """
    return tuple(sorted(_of_nodes(before, after, path, tool), key=lambda problem: problem.line))


def _of_nodes(before: Node, after: Node, path: str, tool: str) -> Iterator[Problem]:
    if before == after or _same_size(before, after):
        return
    theirs = plan_of(type(after)).by_name
    for field in plan_of(type(before)).fields:
        old = getattr(before, field.name)
        new = getattr(after, field.name) if field.name in theirs else None
        if old != new and old is not None and old is not False and old != ():
            yield from _of_field(field, old, new, before.line, path, tool)
        elif old is False and new and field.place is not Flag:
            yield _changed(field, old, new, before.line, path, tool)
    if before.other is not None:
        yield _lost(f"{path}/*", before.line, tool)


def _same_size(before: Node, after: Node) -> bool:
    if not (isinstance(before, ScaledInteger) and isinstance(after, ScaledInteger) and type(before) is type(after)):
        return False
    try:
        return before.bytes() == after.bytes() and not getattr(before, "dump_core", None)
    except ValueError:
        return False


def _of_field(field: Field, old: Any, new: Any, line: int, path: str, tool: str) -> Iterator[Problem]:
    if field.many:
        yield from _of_lists(field, old, new or (), line, path, tool)
    elif field.place is Child and isinstance(new, Node):
        yield from _of_nodes(old, new, f"{path}/{field.tag}", tool)
    elif field.place is Child:
        yield _lost(f"{path}/{field.tag}", old.line or line, tool)
    else:
        yield _changed(field, old, new, line, path, tool)


def _changed(field: Field, old: Any, new: Any, line: int, path: str, tool: str) -> Problem:
    where = {Attr: f"{path}/@{field.tag}", Body: path, Text: f"{path}/{field.tag}"}.get(field.place)
    if where is None or new is None or field.value is None or field.tag.startswith("passw"):
        return _lost(where or f"{path}/{field.tag}", line, tool)
    said, instead = field.value.write(old), field.value.write(new)
    return _lost(where, line, tool, f"; it says '{instead[:80]}' instead of '{said[:80]}'", value=said)


def _of_lists(
    field: Field, old: Sequence[Any], new: Sequence[Any], line: int, path: str, tool: str
) -> Iterator[Problem]:
    """Those that are the same are set aside; of the rest each is compared with the one at its place."""
    if field.place is Open:
        yield _lost(f"{path}/*", line, tool)
        return
    same = Counter(old) & Counter(new)
    left = _without(new, Counter(same))
    for number, each in _numbered(field, old):
        if same[each]:
            same[each] -= 1
            continue
        other = next(left, None)
        where = f"{path}/{number}"
        if isinstance(each, Node) and isinstance(other, Node):
            yield from _of_nodes(each, other, where, tool)
        else:
            yield _lost(where, getattr(each, "line", 0) or line, tool)


def _without(items: Sequence[Any], same: Counter[Any]) -> Iterator[Any]:
    for each in items:
        if same[each]:
            same[each] -= 1
        else:
            yield each


def _numbered(field: Field, items: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Each with its step of XPath."""
    tags: Counter[str] = Counter()
    for each in items:
        tag = field.tag
        if field.place is Children:
            tag = next((tag for tag, nodes in field.tags if isinstance(each, nodes)), tag)
        tags[tag] += 1
        yield f"{tag}[{tags[tag]}]", each


def _lost(path: str, line: int, tool: str, more: str = "", *, value: str = "") -> Problem:
    return Problem(
        line=line, xpath=path, reason=f"the configuration of {tool} does not say this{more}", value=value,
        severity="warning",
    )  # fmt: skip
