from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anyio

from engine.scoping import Scoping
from engine.shutdown.graph import Declarations


async def test_closing_waits_for_no_mending_that_is_not_begun_any_more() -> None:
    class Closing:
        def start_soon(self, function: Any, *args: object, name: str) -> bool:
            return False

    domain: Any = SimpleNamespace(scope="machine-web.scope")
    scoping = Scoping(Closing(), Declarations(), {"web": domain}, systemd=False)
    scoping.scopes = SimpleNamespace()  # type: ignore[assignment]
    with anyio.fail_after(5):
        async with scoping:
            scoping.mend()
