"""The program called in this process, on both backends, with a state directory of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine.cli.main import cli

GUEST = """<domain type='test'>
  <name>{name}</name>
  <memory unit='MiB'>16</memory>
  <metadata>
    <guest xmlns='urn:virengine:test:1' {guest}/>
    <order:order xmlns:order='urn:virengine:order:1'>{order}</order:order>
  </metadata>
</domain>
"""


class Cli:
    """``cli("start", "web")``; an empty ``test`` host is its connection unless told otherwise."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.folder = folder
        self.state_dir = folder / "state"
        (folder / "node.xml").write_text("<node/>")
        self.uri = f"test://{folder}/node.xml"
        self.options = ["--uri", self.uri, "--state-dir", str(self.state_dir), "--backend", backend]

    def __call__(self, *args: str, code: int = 0, input: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(cli, [*self.options, *args], input=input, catch_exceptions=False)
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    def json(self, *args: str, code: int = 0) -> Any:
        return json.loads(self(*args, "--json", code=code).stdout)

    def state(self, name: str) -> str:
        return str(self.json("info", name)["state"])

    def document(self, name: str, *, order: str = "", guest: str = "agent='no'") -> str:
        """The path of a domain document."""
        path = self.folder / f"{name}.xml"
        path.write_text(GUEST.format(name=name, order=order, guest=guest))
        return str(path)

    def define(self, *names: str, **more: str) -> None:
        for name in names:
            self("define", self.document(name, **more))


@pytest.fixture
def virengine(tmp_path: Path, anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    for name in ("VIRENGINE_STATE_DIR", "VIRENGINE_URI", "LIBVIRT_DEFAULT_URI", "VIRENGINE_BACKEND", "VIRENGINE_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return Cli(tmp_path, anyio_backend)


@pytest.fixture
def stack(virengine: Cli) -> Callable[[], Cli]:
    """db; app1 and app2 after it; lb after both; batch on its own."""

    def define() -> Cli:
        virengine.define("db", "batch")
        virengine.define("app1", "app2", order="<order:requires domain='db'/>")
        virengine.define("lb", order="<order:after domain='app1'/><order:after domain='app2'/>")
        return virengine

    return define
