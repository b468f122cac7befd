"""Events as JSON and as CloudEvents: nothing is lost either way, and the form that others rely on does not change."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import EventError
from engine.events.bus import Bus
from engine.events.encoding import decode, encode, from_cloudevent, to_cloudevent, type_name
from engine.events.types import (
    CommandFailed,
    ConnectionOpened,
    DomainEvent,
    DomainReady,
    DomainSnapshot,
    DomainStarted,
    Event,
    Gap,
    JournalBegun,
    PlanStarted,
    SnapshotComplete,
    event_types,
)
from engine.lifecycle import State

GOLDEN = Path(__file__).parent.parent / "golden" / "events" / "cloudevents.json"
UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"

#: A value for every field that any event has, so that each type can be made.
VALUES: dict[str, Any] = {
    "host": "host.example",
    "epoch": "f8d8c8e01b86",
    "time": 1795440745.650338,
    "connection": "qemu:///system",
    "domain": "web",
    "uuid": UUID,
    "detail": "booted",
    "state": State.RUNNING,
    "reason": "unknown",
    "autostart": True,
    "gate": "tcp",
    "seconds": 1.25,
    "timeout": 60.0,
    "going_on": False,
    "device": "vda",
    "operation": "write",
    "action": "pause",
    "command": "start",
    "error": "domain 'web' did not start: no such file",
    "unit": "machine-qemu\\x2d1\\x2dweb.scope",
    "method": "CreateMachineWithNetwork",
    "outcome": "started",
    "direction": "down",
    "domains": ("web", "db"),
    "resumed": True,
    "done": ("web",),
    "failed": (),
    "persistent": True,
    "ready": False,
    "count": 2,
    "missed": 7,
}
TYPES = sorted(
    (found for found in event_types().values() if found.__module__ == Event.__module__),
    key=lambda found: found.__name__,
)


def example(event_type: type[Event], sequence: int) -> Event:
    names = [name for name in event_type.__struct_fields__ if name in VALUES]
    cause = "3f2a9c01-1b" if sequence % 2 else None
    return event_type(sequence=sequence, cause=cause, **{name: VALUES[name] for name in names})


EXAMPLES = [example(event_type, sequence) for sequence, event_type in enumerate(TYPES, 1)]


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_every_type_survives_both_forms(event: Event) -> None:
    assert decode(encode(event)) == event
    cloudevent = to_cloudevent(event)
    assert from_cloudevent(cloudevent) == event
    assert from_cloudevent(json.dumps(cloudevent)) == event
    assert from_cloudevent(json.dumps(cloudevent).encode()) == event


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_every_cloudevent_keeps_to_the_specification(event: Event) -> None:
    cloudevent = to_cloudevent(event)
    # https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
    assert cloudevent["specversion"] == "1.0"
    for attribute in ("id", "source", "type"):
        assert isinstance(cloudevent[attribute], str)
        assert cloudevent[attribute]
    assert re.fullmatch(r"org\.virengine\.[a-z]+(\.[a-z-]+)?", cloudevent["type"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", cloudevent["time"])
    for name, value in cloudevent.items():
        assert re.fullmatch(r"[a-z0-9]{1,20}", name), "names of attributes are lower case letters and digits"
        assert name == "data" or isinstance(value, str)
    assert ("commandid" in cloudevent) == (event.cause is not None)
    assert ("subject" in cloudevent) == isinstance(event, DomainEvent)


def test_cloudevents_are_as_they_were() -> None:
    """What others rely on. VIRENGINE_UPDATE_GOLDEN=1 writes the file anew; read the difference."""
    text = json.dumps([to_cloudevent(event) for event in EXAMPLES], indent=2) + "\n"
    if os.environ.get("VIRENGINE_UPDATE_GOLDEN") == "1":
        GOLDEN.parent.mkdir(parents=True, exist_ok=True)
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_types_have_names_of_their_own() -> None:
    names = [type_name(event_type) for event_type in TYPES]
    assert len(set(names)) == len(names)
    assert type_name(DomainStarted) == "org.virengine.domain.started"


def test_ids_sort_by_sequence_as_text() -> None:
    texts = [to_cloudevent(example(DomainReady, sequence))["sequence"] for sequence in (2, 10, 9, 10**12)]
    assert sorted(texts, key=int) == sorted(texts)


@given(
    host=st.text(st.characters(codec="utf-8"), min_size=1),
    connection=st.text(st.characters(codec="utf-8"), min_size=1),
    domain=st.text(st.characters(codec="utf-8"), min_size=1),
    microseconds=st.integers(0, 4 * 10**15),
    sequence=st.integers(0, 2**63 - 1),
    cause=st.none() | st.text(st.characters(codec="utf-8"), min_size=1),
)
def test_any_text_and_time_survives(
    host: str, connection: str, domain: str, microseconds: int, sequence: int, cause: str | None
) -> None:
    event = DomainReady(
        host=host,
        epoch="e",
        sequence=sequence,
        time=microseconds / 1_000_000,
        cause=cause,
        connection=connection,
        domain=domain,
        uuid=UUID,
        gate="running",
        seconds=0.1,
    )
    assert decode(encode(event)) == event
    cloudevent = json.loads(json.dumps(to_cloudevent(event)))
    assert from_cloudevent(cloudevent) == event
    # a URI reference: nothing in it that RFC 3986 would not allow
    assert re.fullmatch(r"//[\w.~%-]+/virengine/[\w.~%/:@+-]+", cloudevent["source"], re.ASCII)
    assert urlsplit(cloudevent["source"]).path.startswith("/virengine/")


@given(st.text(st.characters(categories=["Cs", "Lu"]), min_size=1))
def test_text_that_is_no_unicode_is_spelled_out(text: str) -> None:
    """A path from the command line may hold any bytes: what reports it has to be kept all the same."""
    plain = text.encode("utf-8", "backslashreplace").decode()
    event = msgspec.structs.replace(example(CommandFailed, 3), host=text, domain=text, error=f"{text}: no such file")
    back = decode(encode(event))
    assert back == msgspec.structs.replace(event, host=plain, domain=plain, error=f"{plain}: no such file")
    assert from_cloudevent(msgspec.json.encode(to_cloudevent(event))) == back


def test_a_list_of_names_that_are_no_unicode_is_spelled_out() -> None:
    event = msgspec.structs.replace(example(PlanStarted, 3), domains=("web", "\udcff"))
    assert decode(encode(event)) == msgspec.structs.replace(event, domains=("web", "\\udcff"))


def test_what_is_no_json_is_kept_as_far_as_it_can_be() -> None:
    """A driver may put anything into its events; the number must not be missing for it."""
    event = msgspec.structs.replace(example(CommandFailed, 3), error=ValueError("no"))
    assert decode(encode(event)) == msgspec.structs.replace(event, error="ValueError('no')")
    ready = msgspec.structs.replace(example(DomainReady, 4), seconds=object())
    back = decode(encode(ready))
    assert type(back) is DomainEvent
    assert (back.sequence, back.domain) == (4, "web")


def test_a_type_not_known_here_is_read_as_what_it_also_is() -> None:
    ready = example(DomainReady, 3)
    unknown = decode(encode(ready).replace(b'"DomainReady"', b'"DomainTeleported"'))
    assert type(unknown) is DomainEvent
    assert (unknown.sequence, unknown.domain) == (3, "web")  # type: ignore[attr-defined]
    plain = decode(b'{"type": "HostMelted", "host": "h", "epoch": "e", "sequence": 4, "time": 1.5, "degrees": 900}')
    assert plain == Event(host="h", epoch="e", sequence=4, time=1.5)


def test_a_type_that_a_driver_brings_later_is_known_then() -> None:
    data = encode(example(DomainReady, 3)).replace(b'"DomainReady"', b'"DomainPolished"')
    assert type(decode(data)) is DomainEvent
    polished = msgspec.defstruct("DomainPolished", [], bases=(DomainReady,), frozen=True, kw_only=True, gc=False)
    assert type(decode(data)) is polished


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"type": "DomainReady"}',
        b'{"type": "DomainReady", "host": 1, "epoch": "e", "sequence": "x", "time": 1}',
        b'{"type": "Unknown", "sequence": 3}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_event_is_an_event_error(data: bytes) -> None:
    with pytest.raises(EventError):
        decode(data)
    with pytest.raises(EventError):
        from_cloudevent(data)


@pytest.mark.parametrize(
    "change",
    [
        {"specversion": "0.3"},
        {"type": "com.example.thing"},
        {"source": "//host/elsewhere"},
        {"source": 7},
        {"sequence": "x"},
        {"time": "yesterday"},
        {"data": {"domain": "web"}},
        {"data": None},
    ],
)
def test_a_foreign_cloudevent_is_an_event_error(change: dict[str, object]) -> None:
    with pytest.raises(EventError):
        from_cloudevent({**to_cloudevent(EXAMPLES[0]), **change})


def test_what_one_reader_is_told_has_an_id_of_its_own() -> None:
    facts = {"host": "h", "epoch": "e", "sequence": 7, "time": 1.0}
    domain = {"connection": "test:///default", "detail": "snapshot", "state": State.RUNNING, "reason": "booted"}
    domain |= {"persistent": True, "autostart": False, "ready": True}
    events = [
        JournalBegun(**facts, reason="new"),
        *(DomainSnapshot(**facts, **domain, domain=name, uuid=name) for name in ("a", "b")),
        SnapshotComplete(**facts, count=2),
        Gap(**facts, missed=3),
    ]
    # other readers at the same number: one told a moment later, one with another filter
    events += [msgspec.structs.replace(event, time=1.000001) for event in events[1:]]
    events += [SnapshotComplete(**facts, count=1), Gap(**facts, missed=2)]
    made = [to_cloudevent(event) for event in events]
    own = ["snapshot/a", "snapshot/b", "snapshot/2", "gap/3"]
    assert [event["id"] for event in made] == [
        "e/7",
        *(f"e/7/{fact}/1000000" for fact in own),
        *(f"e/7/{fact}/1000001" for fact in own),
        "e/7/snapshot/1/1000000",
        "e/7/gap/2/1000000",
    ]
    assert len({(event["source"], event["id"]) for event in made}) == len(made)
    assert [from_cloudevent(event) for event in made] == events


def test_a_time_that_was_read_elsewhere_survives_too() -> None:
    """As that of a file: doubles near now are finer than microseconds."""
    event = Bus().publish(ConnectionOpened, time=1795643614.0887127, connection="test:///default")
    assert event.time == 1795643614.088713
    assert from_cloudevent(to_cloudevent(event)) == event
