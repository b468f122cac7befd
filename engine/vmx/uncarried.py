"""What of a domain its .vmx does not hold: found by reading that back."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.domain.chardev import Parallel, Serial
from engine.conf.kinds.domain.controller import IdeController, PlainController, ScsiController
from engine.conf.kinds.domain.disk import BaseDisk
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.input import EmulatedInput
from engine.conf.nodes.node import Attr, Body, Flag, Node, Open
from engine.conf.nodes.plan import Field, plan_of
from engine.conf.nodes.values import Pattern
from engine.errors import Problem
from engine.vmx.buses import slot_of
from engine.vmx.output import Output

__all__ = ["uncarried"]

_NO_PLACE = "a .vmx has no place for it"


def uncarried(definition: DomainDocument, machine: DomainDocument, output: Output) -> Iterator[Problem]:
    """A warning for each element and attribute that the machine does not have, or has otherwise.

    What it has beyond the definition is none; nor is what ``output`` skips without a reason.
    """
    yield from _of_nodes(definition, machine, f"/{definition.kind}", output)


def _of_nodes(old: Node, new: Node, at: str, output: Output) -> Iterator[Problem]:
    theirs = plan_of(type(new)).by_name
    apart: tuple[str, ...] = ()
    if isinstance(old, ScaledInteger) and isinstance(new, ScaledInteger):
        apart = old.size_fields
        if old.bytes() != new.bytes():
            yield _problem(old, at, f"the machine has {new.value} {new.unit or 'KiB'}")
    for field in plan_of(type(old)).fields:
        value = getattr(old, field.name)
        if field.name in apart or value is None or value == () or (value is False and field.place is Flag):
            continue
        reason = output.skipped(old, field.name)
        if reason is None:
            held = getattr(new, field.name) if field.name in theirs else None
            yield from _of_field(old, field, value, held, at, output)
        elif reason:
            yield _problem(old, _place(at, field), reason)
    if old.other is not None:
        yield _problem(old, at, "what is not declared has no place in a .vmx")


def _of_field(node: Node, field: Field, old: Any, new: Any, at: str, output: Output) -> Iterator[Problem]:
    if isinstance(old, Node):
        yield from _of_pair(old, new, _place(at, field), output)
    elif (field.many and field.nodes) or field.tags:
        yield from _of_lists(field, old, new or (), at, output)
    elif old != new and _canonical(field, old) != _canonical(field, new):
        secret = new is None or field.many or field.value is None or field.value.secret
        reason = _NO_PLACE if secret else f"the machine has '{_shown(field, new)}' instead"
        yield _problem(node, _place(at, field), reason)


def _of_pair(old: Node, new: Node | None, at: str, output: Output) -> Iterator[Problem]:
    reason = output.skipped(old)
    if reason is None and new is not None:
        yield from _of_nodes(old, new, at, output)
    elif reason is None or reason:
        yield _problem(old, at, reason or _NO_PLACE)


def _of_lists(field: Field, old: Sequence[Node], new: Sequence[Node], at: str, output: Output) -> Iterator[Problem]:
    """Those that are written are compared with those that are read at their place."""
    read = defaultdict(list)
    for number, each in enumerate(new):
        read[_key(each, number)].append(each)
    tags: Counter[str] = Counter()
    written = 0
    for each in old:
        tag = next((tag for tag, nodes in field.tags if isinstance(each, nodes)), field.tag)
        tags[tag] += 1
        skipped = output.skipped(each) is not None
        there = [] if skipped else read[_key(each, written)]
        written += not skipped
        yield from _of_pair(each, there.pop(0) if there else None, f"{at}/{tag}[{tags[tag]}]", output)


def _key(node: Node, number: int) -> Hashable:
    """Where it is in the machine, or which of its like that are written it is."""
    match node:
        case BaseDisk():
            return slot_of(node)
        case ScsiController() | PlainController() | IdeController():
            return node.type_, node.index
        case Serial() | Parallel():
            return node.target.port if node.target is not None else None
        case EmulatedInput():
            return node.type_
    return number


def _canonical(field: Field, value: Any) -> Any:
    return field.value.canonical(value) if isinstance(field.value, Pattern) and isinstance(value, str) else value


def _shown(field: Field, value: Any) -> str:
    assert field.value is not None
    return field.value.write(value)[:80]


def _place(at: str, field: Field) -> str:
    tag = (field.tag or field.name).rpartition("}")[2]
    if field.place is Body:
        return at
    return f"{at}/{'*' if field.place is Open else f'@{tag}' if field.place is Attr else tag}"


def _problem(node: Node, place: str, reason: str) -> Problem:
    return Problem(line=node.line, xpath=place, reason=reason, severity="warning")
