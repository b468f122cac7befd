"""Which events a reader wants."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.events import facts

from engine.errors import ConfigError
from engine.events.filters import EventFilter
from engine.events.types import (
    ConnectionOpened,
    DomainEvent,
    DomainReady,
    DomainSnapshot,
    DomainStarted,
    Event,
    LifecycleEvent,
    PlanStarted,
)

STAMP = {"host": "h", "epoch": "e", "sequence": 1, "time": 1.0}


def started(domain: str = "web", connection: str = "test:///default") -> DomainStarted:
    return DomainStarted(**STAMP, **facts(domain, connection))


OPENED = ConnectionOpened(**STAMP, connection="test:///default")
PLAN = PlanStarted(**STAMP, direction="up", domains=("web",))


def test_no_condition_wants_everything_and_leaves_nothing_to_compare() -> None:
    everything = EventFilter()
    assert everything.matches is None
    assert all(everything(event) for event in (started(), OPENED, PLAN))


@pytest.mark.parametrize(
    ("types", "wanted"),
    [
        ((DomainStarted,), (True, False, False)),
        ((LifecycleEvent,), (True, False, False)),
        ((DomainEvent, PlanStarted), (True, False, True)),
        ((DomainReady,), (False, False, False)),
        ((Event,), (True, True, True)),
    ],
)
def test_types(types: tuple[type[Event], ...], wanted: tuple[bool, ...]) -> None:
    event_filter = EventFilter(*types)
    assert tuple(event_filter(event) for event in (started(), OPENED, PLAN)) == wanted
    # the second answer comes from what was remembered
    assert tuple(event_filter.wants(type(event)) for event in (started(), OPENED, PLAN)) == wanted


UUID_OF_WEB = facts("web")["uuid"]


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("web", True),
        ("we", False),
        ("Web", False),
        ("w*", True),
        ("w?b", True),
        ("[vw]eb", True),
        ("db*", False),
        (UUID_OF_WEB, True),
        (UUID_OF_WEB.upper(), True),
        (UUID_OF_WEB.replace("-", ""), True),
        (UUID(UUID_OF_WEB), True),
        (["db", "web"], True),
        (("db", "x*"), False),
        ([], False),
    ],
)
def test_domain(pattern: object, wanted: bool) -> None:
    event_filter = EventFilter(domain=pattern)  # type: ignore[arg-type]
    assert event_filter(started("web")) is wanted
    assert not event_filter(OPENED), "no domain, no match"


def test_a_name_with_glob_characters_is_found_by_itself() -> None:
    assert EventFilter(domain="a[1]")(started("a[1]"))


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("test:///default", True),
        ("test:///*", True),
        ("qemu:///*", False),
        (["qemu:///system", "test:///default"], True),
    ],
)
def test_connection(pattern: object, wanted: bool) -> None:
    event_filter = EventFilter(connection=pattern)  # type: ignore[arg-type]
    assert event_filter(started()) is wanted
    assert event_filter(OPENED) is wanted
    assert not event_filter(PLAN)


def test_a_uri_with_a_query_and_an_address_is_no_glob() -> None:
    uri = "qemu+ssh://[::1]/system?no_verify=1"
    assert EventFilter(connection=uri)(started(connection=uri))


def test_predicate_sees_only_what_passed_all_else() -> None:
    seen: list[Event] = []

    def predicate(event: Event) -> bool:
        seen.append(event)
        return event.sequence == 1

    event_filter = EventFilter(DomainStarted, domain="web", predicate=predicate)
    assert event_filter(started("web"))
    assert not event_filter(started("db"))
    assert not event_filter(OPENED)
    assert [event.domain for event in seen if isinstance(event, DomainStarted)] == ["web"]
    assert len(seen) == 1


def test_a_snapshot_is_covered_by_its_place_alone() -> None:
    snapshot = DomainSnapshot(**STAMP, **facts("web"), persistent=True, autostart=False, ready=True)
    assert EventFilter(DomainReady, domain="w*", predicate=lambda _: False).covers(snapshot)
    assert not EventFilter(domain="db").covers(snapshot)
    assert not EventFilter(connection="qemu:///system").covers(snapshot)


@pytest.mark.parametrize("wrong", [{"domain": 7}, {"connection": [b"x"]}, {"predicate": "name"}])
def test_wrong_conditions_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        EventFilter(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [int, "DomainStarted", None])
def test_wrong_types_are_refused(wrong: object) -> None:
    with pytest.raises(ConfigError, match=re.escape(repr(wrong))):
        EventFilter(wrong)  # type: ignore[arg-type]


@given(st.lists(st.text("ab*?[]!", max_size=5), min_size=1, max_size=4), st.text("ab", min_size=1, max_size=5))
def test_several_globs_match_as_each_alone(patterns: list[str], name: str) -> None:
    one_by_one = any(pattern == name or fnmatchcase(name, pattern) for pattern in patterns)
    assert EventFilter(domain=patterns)(started(name)) is one_by_one
