"""What ``--json`` prints is what its documentation says, from every command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
from support.program import PROGRAM, client, printed, service

from engine.cli.main import cli
from engine.cli.schemas import NONE, OUTPUTS, schema_of

DOCUMENT = "<domain type='test'><name>x</name><memory>1</memory><clok/></domain>"


def commands(group: click.Group, before: str = "") -> dict[str, click.Command]:
    """By name, those in groups with the group's."""
    found: dict[str, click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= commands(command, f"{name} ")
        else:
            found[f"{before}{name}"] = command
    return found


def test_every_command_prints_json_or_has_a_reason_not_to() -> None:
    with_json = {name for name, each in commands(cli).items() if any("--json" in option.opts for option in each.params)}
    assert with_json == {name.partition(" --")[0] for name in OUTPUTS}
    assert set(commands(cli)) - with_json == set(NONE)


def strict(schema: Any) -> Any:
    """The same, in which nothing may stand that is not documented."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(each) for name, each in schema.items()}
    if isinstance(found.get("properties"), dict) and found.get("type") == "object":
        found["additionalProperties"] = False
    return found


def held(name: str, told: str) -> None:
    """Raises what is not as it should be."""
    validator = jsonschema.Draft202012Validator(strict(schema_of(OUTPUTS[name])))
    for text in told.splitlines() if name == "events" else [told]:
        validator.validate(json.loads(text))


def test_what_is_printed_is_what_is_documented(virengine: Any, tmp_path: Path) -> None:
    db = virengine.document("db")
    web = virengine.document("web", order="<order:requires domain='db'/>")
    save, broken = str(tmp_path / "web.save"), tmp_path / "broken.xml"
    broken.write_text(DOCUMENT)
    told = set()

    def check(name: str, *words: str, code: int = 0) -> None:
        text = virengine(*words, "--json", code=code).stdout
        assert json.loads(text.splitlines()[0] if name == "events" else text) != [], name
        held(name, text)
        told.add(name)

    check("define", "define", db, web)
    check("order", "order")
    check("plan", "plan", "up")
    check("up", "up")
    for name in ("list", "info web", "domstate web", "domuuid web", "wait web", "events"):
        check(name.split()[0], *name.split())
    for name in ("suspend", "resume", "reboot", "reset", "autostart"):
        check(name, name, "web", "db")
    check("screenshot", "screenshot", "web", str(tmp_path / "web.png"))
    check("save", "save", "web", save)
    check("restore", "restore", save)
    check("managedsave", "managedsave", "web")
    check("start", "start", "web")
    check("plan", "plan", "down")
    check("down --drill", "down", "--drill", code=virengine("down", "--drill").exit_code)
    check("down", "down", "web")
    check("start", "start", "web", "--wait")
    check("shutdown", "shutdown", "web", "--wait")
    check("destroy", "destroy", "db")
    check("undefine", "undefine", "web")
    check("validate", "validate", str(broken), code=1)
    check("diff", "diff", db, web, code=1)
    check("doctor", "doctor", code=virengine("doctor").exit_code)
    virengine("token", "add", "ci", "--role", "viewer")
    check("token list", "token", "list")
    # a real guest's display: test_interactive
    assert set(OUTPUTS) - told == {"operations", "operations --cancel", "webhooks", "domdisplay"}


def test_operations_are_printed_as_documented(tmp_path: Path) -> None:
    (tmp_path / "node.xml").write_text("<node/>")
    with service(tmp_path, "asyncio"), client(tmp_path) as http:
        http.post("/v1/up", json={})
        http.post("/v1/up", json={"domains": ["nobody"]})
        http.post("/v1/drill", json={})
        command = [*PROGRAM, "--state-dir", str(tmp_path / "state"), "operations", "--json"]
        text = printed(command)
        assert len(json.loads(text)) == 3
        held("operations", text)
        held("operations --cancel", printed(command, "--cancel", json.loads(text)[0]["id"]))


def test_a_field_that_is_not_documented_is_found() -> None:
    held("domuuid", '{"uuid": "x"}')
    for wrong in ('{"uuid": "x", "more": 1}', '{"uuid": 1}', "{}"):
        with pytest.raises(jsonschema.ValidationError):
            held("domuuid", wrong)
