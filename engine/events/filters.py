"""Which events a reader wants: compiled once, decided for each event type once, then only what is left to compare."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from typing import TypeAlias
from uuid import UUID

from engine.errors import ConfigError
from engine.events.types import DomainEvent, Event

__all__ = ["EventFilter", "Patterns"]

#: One name, UUID, URI or glob, or several of which one must fit.
Patterns: TypeAlias = "str | UUID | Iterable[str | UUID] | None"
_Test: TypeAlias = Callable[[Event], bool]


class EventFilter:
    """Says whether a reader wants an event.

    Args:
        types: event classes, abstract ones included (``LifecycleEvent``); none: every type.
        domain: name, UUID (any spelling) or glob over names, or several: only events about these domains.
        connection: URI or glob, or several: only events that carry one of these connections.
        predicate: called last, with events that passed all else. It must return at once and must not publish.

    Raises:
        ConfigError: a type is no event, a pattern is no text, a predicate can't be called.
    """

    __slots__ = ("_place", "_predicate", "_required_fields", "_types", "_wanted", "domains", "matches")

    #: Names and UUIDs of the only domains that it is about; None: it is about all, or about patterns.
    domains: frozenset[str] | None
    #: Whether an event of a wanted type passes; None: every one does, so there is nothing to call.
    matches: _Test | None

    def __init__(
        self,
        *types: type[Event],
        domain: Patterns = None,
        connection: Patterns = None,
        predicate: Callable[[Event], object] | None = None,
    ) -> None:
        for event_type in types:
            if not (isinstance(event_type, type) and issubclass(event_type, Event)):
                raise ConfigError(f"{event_type!r} is not an event type")
        if predicate is not None and not callable(predicate):
            raise ConfigError(f"the predicate {predicate!r} can't be called")
        self._types = types or (Event,)
        self._predicate = predicate
        self._required_fields: list[str] = []
        self._wanted: dict[type[Event], bool] = {}
        tests: list[_Test] = []
        self.domains = None
        if domain is not None:
            self._required_fields += DomainEvent.__struct_fields__
            exact, glob = _domains(domain)
            self.domains = frozenset(exact) if glob is None else None
            tests.append(_domain_test(exact, glob))
        if connection is not None:
            self._required_fields.append("connection")
            tests.append(_connection_test(connection))
        self._place = _all_of(tests)
        self.matches = _all_of([*tests, predicate] if predicate is not None else tests)

    def wants(self, event_type: type[Event]) -> bool:
        """Whether an event of this type can match at all; remembered for each type."""
        try:
            return self._wanted[event_type]
        except KeyError:
            fields = event_type.__struct_fields__
            wanted = issubclass(event_type, self._types) and all(name in fields for name in self._required_fields)
            self._wanted[event_type] = wanted
            return wanted

    def __call__(self, event: Event) -> bool:
        """Whether the event matches in all; raises what the predicate raises."""
        return self.wants(type(event)) and (self.matches is None or bool(self.matches(event)))

    def covers(self, event: DomainEvent) -> bool:
        """Whether the event's domain and connection match, whatever its type: what a snapshot is filtered by."""
        return self._place is None or self._place(event)


def _all_of(tests: list[Callable[[Event], object]] | list[_Test]) -> _Test | None:
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]  # type: ignore[return-value]  # the truth of what a predicate returns is all that is used
    return lambda event: all(test(event) for test in tests)


def _domains(patterns: Patterns) -> tuple[set[str], Callable[[str], object] | None]:
    exact, glob = _compile(patterns, "domain")
    return exact | {spelled for text in exact if (spelled := _canonical_uuid(text))}, glob


def _domain_test(exact: set[str], glob: Callable[[str], object] | None) -> _Test:
    def test(event: Event) -> bool:
        name: str = event.domain  # type: ignore[attr-defined]  # wants() let only events with these fields through
        return name in exact or event.uuid in exact or (glob is not None and glob(name) is not None)  # type: ignore[attr-defined]

    return test


def _connection_test(patterns: Patterns) -> _Test:
    exact, glob = _compile(patterns, "connection")

    def test(event: Event) -> bool:
        uri: str = event.connection  # type: ignore[attr-defined]
        return uri in exact or (glob is not None and glob(uri) is not None)

    return test


def _compile(patterns: Patterns, what: str) -> tuple[set[str], Callable[[str], object] | None]:
    """The patterns as plain texts and one expression. Each text counts as itself too: URIs hold ``?`` and ``[``."""
    if patterns is None or isinstance(patterns, str | UUID):
        patterns = (patterns,) if patterns is not None else ()
    if not isinstance(patterns, Iterable):
        raise ConfigError(f"{patterns!r} is not a {what} to filter by")
    exact: set[str] = set()
    for pattern in patterns:
        if not isinstance(pattern, str | UUID):
            raise ConfigError(f"{pattern!r} is not a {what} to filter by")
        exact.add(str(pattern))
    globs = [translate(text) for text in sorted(exact) if any(char in text for char in "*?[")]
    return exact, re.compile("|".join(globs)).match if globs else None


def _canonical_uuid(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None
