"""The service does as its description says: schemathesis makes requests of it, and looks at what is answered."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.served import DOMAIN
from support.transports import everywhere

pytestmark = pytest.mark.anyio

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)
#: Streams, which do not end, and what waits; what mends the host it runs on.
LEFT_OUT = r"events$|wait$|^/v1/doctor$"
#: An admin's commands write files wherever they are told to.
WRITES = r"/\{command\}$"


@pytest.mark.parametrize(
    ("role", "options"),
    [
        ("operator", ["--exclude-path-regex", LEFT_OUT]),
        ("admin", ["--exclude-path-regex", f"{LEFT_OUT}|{WRITES}"]),
    ],
    ids=["operator", "admin"],
)
async def test_it_does_as_it_is_described(role: Any, options: list[str], tmp_path: Path) -> None:
    async with everywhere(tmp_path) as server:
        await server.engine.define(DOMAIN.format("web", ""))
        (tmp_path / "schemathesis.toml").write_text('[parameters]\n"path.domain" = "web"\n')
        command = [
            str(Path(sys.executable).parent / "schemathesis"),
            "run",
            f"http://127.0.0.1:{server.tcp}/v1/openapi.json",
            *("--checks", ",".join(CHECKS)),
            *("--header", f"Authorization: Bearer {server.secrets[role]}"),
            *("--seed", "1", "--max-examples", "12", "--request-timeout", "10", "--no-color"),
            *options,
        ]
        ended = await anyio.run_process(
            command, check=False, stderr=subprocess.STDOUT, cwd=tmp_path, env={**os.environ, "NO_COLOR": "1"}
        )
        assert ended.returncode == 0, ended.stdout.decode()
        assert b"passed" in ended.stdout
        assert server.engine.domains()
