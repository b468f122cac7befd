"""``events``, from a journal that is at rest, in use, or being written."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from engine.cli.follow import Watch, follow
from engine.errors import StoreError
from engine.events.encoding import from_cloudevent
from engine.events.journal_file import JournalFile
from engine.events.types import ConnectionOpened, DomainStarted, JournalBegun


def started(virengine):
    virengine.define("web", "db")
    virengine("start", "web")
    virengine("start", "db")


@contextmanager
def following(virengine, kind) -> Iterator[subprocess.Popen[str]]:
    """``events --follow`` as a process, ended whatever happens."""
    command = [sys.executable, "-m", "engine", *virengine.options, "events", "--follow", "--json", "--type", kind]
    with subprocess.Popen(
        [*command, "--since", "0"], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as follower:
        try:
            yield follower
        finally:
            follower.kill()


def cloudevents(text):
    return [json.loads(line) for line in text.splitlines()]


def test_all_that_is_kept_in_lines(virengine):
    started(virengine)
    lines = virengine("events").stdout.splitlines()
    assert [int(line.split()[2]) for line in lines] == list(range(1, len(lines) + 1))
    assert any(line.endswith("web  started (booted)") for line in lines)


def test_cloudevents_one_a_line(virengine):
    started(virengine)
    events = cloudevents(virengine("events", "--json").stdout)
    assert {event["specversion"] for event in events} == {"1.0"}
    web = next(event for event in events if event["type"] == "org.virengine.domain.started")
    event = from_cloudevent(web)
    assert isinstance(event, DomainStarted)
    assert event.domain == "web"
    assert web["commandid"]


@pytest.mark.parametrize("kind", ["DomainStarted", "domainstarted", "domain.started", "org.virengine.domain.started"])
def test_type_by_any_of_its_names(virengine, kind):
    started(virengine)
    events = cloudevents(virengine("events", "--type", kind, "--json").stdout)
    assert [event["data"]["domain"] for event in events] == ["web", "db"]


def test_domain_by_name_or_pattern(virengine):
    started(virengine)
    for pattern in ("web", "w*"):
        events = cloudevents(virengine("events", "--type", "DomainStarted", "--domain", pattern, "--json").stdout)
        assert [event["data"]["domain"] for event in events] == ["web"]


def test_an_unknown_type_is_a_usage_error(virengine):
    result = virengine("events", "--type", "DomainStrated", code=2)
    assert "did you mean 'DomainStarted'?" in result.stderr


def test_since_a_number_or_an_id(virengine):
    started(virengine)
    everything = cloudevents(virengine("events", "--json").stdout)
    third = everything[2]
    for since in (str(int(third["sequence"])), third["id"], f"{third['id']}/gap/2/1700000000000000"):
        assert cloudevents(virengine("events", "--json", "--since", since).stdout) == everything[3:]
    assert cloudevents(virengine("events", "--json", "--since", str(len(everything))).stdout) == []


@pytest.mark.parametrize(("since", "code"), [("999999", 1), ("nosuchepoch/1", 1), ("x", 2), ("-3", 2)])
def test_since_what_never_was(virengine, since, code):
    started(virengine)
    result = virengine("events", f"--since={since}", code=code)
    assert result.stdout == ""


def test_no_journal_yet(virengine):
    assert "there is no journal" in virengine("events", code=1).stderr
    assert "no such state directory" in virengine("events", "--follow", code=1).stderr
    assert not virengine.state_dir.exists()


def write_events(path, *events):
    path.parent.mkdir(exist_ok=True)
    file = JournalFile(path)
    file.open()
    file.append(events, [("epoch", 1)])
    file.close(len(events))


def test_a_journal_without_an_event_is_none(virengine):
    """As a disk leaves it that was full from the beginning."""
    virengine.state_dir.mkdir()
    journal = virengine.state_dir / "journal.db"
    journal.touch()
    assert "there is no journal to read" in virengine("events", code=1).stderr
    write_events(journal)
    assert "there is no journal to read" in virengine("events", code=1).stderr


def test_times_that_go_back_are_told_in_the_order_of_numbers(virengine):
    begun = JournalBegun(host="h", epoch="epoch", sequence=1, time=1e9, reason="new")
    late = ConnectionOpened(host="h", epoch="epoch", sequence=2, time=5.25, connection="test:///late")
    after = ConnectionOpened(host="h", epoch="epoch", sequence=3, time=1e9 + 1, connection="test:///after")
    write_events(virengine.state_dir / "journal.db", begun, late, after)
    lines = virengine("events").stdout.splitlines()
    assert [line.split()[2] for line in lines] == ["1", "2", "3"]
    assert lines[1].startswith(datetime.fromtimestamp(5.25).strftime("%Y-%m-%d %H:%M:%S.250"))
    told = cloudevents(virengine("events", "--json", "--since", "1").stdout)
    assert [from_cloudevent(event) for event in told] == [late, after]


def test_follow_waits_for_the_first_event(tmp_path, monkeypatch):
    path = tmp_path / "journal.db"
    path.touch()
    begun = JournalBegun(host="h", epoch="epoch", sequence=1, time=1.0, reason="new")

    def rings():
        write_events(path, begun)
        yield True
        yield False

    ring, shown = rings(), []

    def show(reader, cursor):
        shown.extend(reader.read(cursor))
        return shown[-1].sequence

    monkeypatch.setattr(Watch, "wait", lambda self: next(ring))
    with pytest.raises(StoreError, match="is gone"):
        follow(path, lambda reader: reader.newest, show)
    assert shown == [begun]


def test_reading_makes_no_events(virengine):
    started(virengine)
    assert virengine("events").stdout == virengine("events").stdout


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
def test_follow_tells_what_others_do(virengine):
    virengine.define("web")
    with following(virengine, "LifecycleEvent") as follower:
        assert follower.stdout is not None
        first = json.loads(follower.stdout.readline())
        assert first["type"] == "org.virengine.domain.defined"
        # it has told all there was: from here on it sleeps until something is written
        virengine("start", "web")
        assert json.loads(follower.stdout.readline())["type"] == "org.virengine.domain.started"
        virengine("suspend", "web")
        assert json.loads(follower.stdout.readline())["type"] == "org.virengine.domain.suspended"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
def test_follow_goes_on_when_the_journal_is_begun_anew(virengine):
    virengine.define("web")
    with following(virengine, "DomainDefined") as follower:
        assert follower.stdout is not None
        assert json.loads(follower.stdout.readline())["data"]["domain"] == "web"
        for path in virengine.state_dir.glob("journal.db*"):
            path.unlink()
        virengine.define("db")
        assert json.loads(follower.stdout.readline())["data"]["domain"] == "db"


def test_watch_hears_of_its_file_only(tmp_path):
    path = tmp_path / "file"
    with Watch(path) as watch:
        (tmp_path / "other").touch()
        path.touch()
        assert watch.wait()
        path.unlink()
        tmp_path.rmdir() if not list(tmp_path.iterdir()) else (tmp_path / "other").unlink()
        tmp_path.rmdir()
        assert not watch.wait()


def test_watch_refuses_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        Watch(tmp_path / "nowhere" / "file")


def test_ctrl_c_ends_following(virengine):
    virengine.define("web")
    with subprocess.Popen(
        [sys.executable, "-m", "engine", *virengine.options, "events", "--follow", "--since", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as follower:
        assert follower.stdout is not None
        assert "journal begun" in follower.stdout.readline()
        follower.send_signal(signal.SIGINT)
        try:
            assert follower.communicate(timeout=60)[1] == "virengine: error: interrupted\n"
        finally:
            follower.kill()
    assert follower.returncode == 130
