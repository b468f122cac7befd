"""The server that most tests use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.served import Served, served


@pytest.fixture
async def server(tmp_path: Path, anyio_backend: Any) -> AsyncIterator[Served]:
    async with served(tmp_path) as running:
        yield running
