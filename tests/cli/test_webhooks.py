"""``webhooks``: whom a service tells, with a receiver that is not there."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest
from support.program import PROGRAM, printed
from support.transports import free_port

from engine.cli.schemas import OUTPUTS, schema_of

HOOK = """[[webhook]]
name = "pager"
url = "http://127.0.0.1:{port}/secret-path"
secret-file = "{folder}/secret"
type = ["DomainSuspended"]
tries = 1
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_could_not_be_told_is_shown_and_tried_again(backend: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s" * 32)
    secret.chmod(0o600)
    config = tmp_path / "virengine.toml"
    config.write_text(HOOK.format(port=free_port(), folder=tmp_path))
    command = [*PROGRAM, "--state-dir", str(tmp_path / "state")]
    serve = [*command, "--uri", "test:///default", "--backend", backend, "serve", "--config", str(config)]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            printed(command, "suspend", "test")
            while not (state := json.loads(printed(command, "webhooks", "--json"))[0])["dead"]:
                assert process.poll() is None
            jsonschema.validate(json.loads(printed(command, "webhooks", "--json")), schema_of(OUTPUTS["webhooks"]))
            assert (state["name"], state["delivered"], state["lag"]) == ("pager", 0, 0)
            told = printed(command, "webhooks")
            assert told.splitlines()[2].split()[:2] == ["pager", state["receiver"]]
            assert "secret-path" not in told
            dead = printed(command, "webhooks", "--dead").splitlines()
            assert dead[0].split() == ["Webhook", "Event", "Type", "Domain", "Tries", "Error"]
            assert "org.virengine.domain.suspended" in dead[2]
            assert "refused" in dead[2].lower() or "attempts to connect" in dead[2]
            assert printed(command, "webhooks", "--retry", "pager") == "Webhook 'pager' is tried again\n"
            missing = subprocess.run(
                [*command, "webhooks", "--retry", "none"], capture_output=True, text=True, timeout=60
            )
            assert (missing.returncode, missing.stderr) == (2, "virengine: error: no webhook 'none'\n")
        finally:
            process.terminate()
    alone = subprocess.run([*command, "webhooks"], capture_output=True, text=True, timeout=60)
    assert alone.returncode == 1
    assert "only a service tells others" in alone.stderr
