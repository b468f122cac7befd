"""``list``, ``info``."""

from __future__ import annotations

import json
from uuid import UUID

import anyio
import pytest

from engine import Engine


def test_list_shows_what_runs_and_all_shows_all(virengine):
    virengine.define("web", "db")
    virengine("start", "web")
    assert (
        virengine("list").stdout
        == "Name   State     Ready   PID\n----------------------------\nweb    running   yes     -\n"
    )
    assert virengine("list", "--all").stdout.splitlines()[2:] == [
        "web    running    yes     -",
        "db     shut off   -       -",
    ]
    assert virengine("list", "--inactive", "--name").stdout == "db\n"


def test_list_names_connections_when_there_are_several(virengine):
    virengine.options += ["--uri", "test:///default"]
    virengine.define("web")
    lines = virengine("list", "--all").stdout.splitlines()
    assert lines[0].split() == ["Name", "State", "Ready", "PID", "Connection"]
    assert [line.split()[-1] for line in lines[2:]] == ["test:///default", virengine.uri]


def test_list_of_names_or_uuids_holds_nothing_else(virengine):
    assert virengine("list", "--all", "--name").stdout == ""
    virengine.define("web")
    uuid = virengine("list", "--all", "--uuid").stdout.strip()
    assert str(UUID(uuid)) == uuid
    assert virengine("list", "--all", "--uuid", "--name").stdout == f"{uuid} web\n"


def test_list_as_json_is_an_array_of_all(virengine):
    assert virengine.json("list") == []
    virengine.define("web", "db")
    virengine("start", "web", "--paused")
    virengine("autostart", "db")
    web, db = virengine.json("list")
    assert {key: web[key] for key in ("name", "state", "ready", "persistent", "autostart", "pid", "connection")} == {
        "name": "web",
        "state": "paused",
        "ready": True,
        "persistent": True,
        "autostart": False,
        "pid": None,
        "connection": virengine.uri,
    }
    assert (db["name"], db["state"], db["ready"], db["autostart"]) == ("db", "shut off", False, True)
    assert {"uuid", "reason"} < set(db)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--table"], "held runs transient"),
        (["--state-running"], "runs transient"),
        (["--state-paused"], "held"),
        (["--state-shutoff"], "off saved"),
        (["--state-paused", "--state-shutoff"], "held off saved"),
        (["--state-other"], ""),
        (["--all", "--autostart"], "off"),
        (["--autostart"], ""),
        (["--no-autostart"], "held runs transient"),
        (["--transient"], "transient"),
        (["--persistent"], "held runs"),
        (["--all", "--with-managed-save"], "saved"),
        (["--inactive", "--without-managed-save"], "off"),
    ],
)
def test_list_of_a_choice(virengine, options, names):
    virengine.define("off", "runs", "held", "saved", "transient")
    virengine("start", "runs", "saved", "transient")
    virengine("start", "held", "--paused")
    virengine("managedsave", "saved")
    virengine("autostart", "off")
    virengine("undefine", "transient")
    told = virengine("list", *options, *([] if "--table" in options else ["--name"])).stdout
    assert " ".join(line.split()[0] for line in told.splitlines()[2 * ("--table" in options) :]) == names


def test_list_works_beside_a_program_that_has_the_state_directory_open(virengine, anyio_backend):
    virengine.define("web")

    async def hold() -> None:
        async with Engine(virengine.uri, state_dir=virengine.state_dir, systemd=False) as engine:
            await engine.domain("web").start()
            (web,) = virengine.json("list")
            assert web["state"] == "running"
            assert "web" in virengine("list").stdout

    anyio.run(hold, backend=anyio_backend)


@pytest.mark.parametrize("look", [("list", "--json"), ("info", "web", "--json")])
def test_what_becomes_ready_while_it_is_looked_at_is_told_and_kept(virengine, look, monkeypatch):
    monkeypatch.setattr("engine.cli.looking._MOMENT", 60.0)  # it ends with the last gate
    virengine.define("web", "slow", order="<order:ready gate='delay' seconds='2'/>")  # no start takes as long
    virengine("start", "web")
    assert virengine("events", "--type", "DomainReady").stdout == ""
    told = json.loads(virengine(*look).stdout)
    web = told if isinstance(told, dict) else told[0]
    assert web["ready"] is True
    assert virengine("events", "--type", "DomainReady").stdout.count("web  ready") == 1
    assert virengine.json("list")[0]["ready"] is True
    assert virengine("events", "--type", "DomainReady").stdout.count("web  ready") == 1


def test_looking_waits_for_no_gate_for_long(virengine):
    virengine.define("web", order="<order:ready gate='delay' seconds='3600'/>")
    virengine("start", "web")
    assert virengine.json("list")[0]["ready"] is False
    assert virengine.json("info", "web")["ready"] is False


def test_info(virengine):
    virengine.define("web")
    virengine("start", "web")
    lines = dict(line.split(":", 1) for line in virengine("info", "web").stdout.splitlines())
    told = {label: value.strip() for label, value in lines.items()}
    assert told["Name"] == "web"
    assert told["State"].startswith("running (")
    assert told["Max memory"] == "16384 KiB"
    assert told["CPU(s)"] == "1"
    assert told["Autostart"] == "disable"
    assert told["Persistent"] == "yes"


def test_info_has_virshs_name_as_well(virengine):
    virengine.define("web")
    assert virengine("dominfo", "web").stdout == virengine("info", "web").stdout


def test_state_and_uuid_alone(virengine):
    virengine.define("web")
    assert virengine("domstate", "web").stdout == "shut off\n"
    virengine("start", "web")
    assert virengine("domstate", "web", "--reason").stdout == "running (booted)\n"
    assert virengine("domuuid", "web").stdout == virengine("list", "--uuid").stdout
    assert virengine("domstate", "nobody", code=3).stdout == ""


def test_info_as_json_has_what_list_has_and_more(virengine):
    virengine.define("web")
    [listed] = virengine.json("list")
    told = virengine.json("info", "web")
    assert listed.items() <= told.items()
    assert told["max_memory"] == 16384
    assert told["vcpus"] == 1


def test_info_of_nobody(virengine):
    assert virengine("info", "web", code=3).stderr.startswith("virengine: error: no domain 'web'")


def test_a_name_at_two_connections_has_to_be_told_apart(virengine):
    virengine.define("test")
    virengine.options += ["--uri", "test:///default"]
    result = virengine("info", "test", code=2)
    assert f"say '{virengine.uri}#test' or 'test:///default#test'" in result.stderr
    assert virengine.json("info", "test:///default#test")["connection"] == "test:///default"
    assert virengine.json("info", f"{virengine.uri}#test")["connection"] == virengine.uri
    assert "did you mean" in virengine("info", "test:///default#tset", code=3).stderr
