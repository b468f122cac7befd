from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from engine import Engine
from engine.scoping import Scoping
from engine.shutdown.graph import Declarations
from engine.systemd.scope import UnitOrder, scope_unit


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


class Scopes:
    """A manager of scopes that notes what they are ordered after."""

    def __init__(self) -> None:
        self.told: dict[str, tuple[str, ...]] = {}
        self.changed = anyio.Event()

    async def reorder(self, orders: Mapping[str, UnitOrder]) -> None:
        self.told |= {unit: order.after for unit, order in orders.items()}
        self.changed.set()
        self.changed = anyio.Event()


DOCUMENT = """<domain type='test'><name>{name}</name><uuid>11111111-1111-4111-8111-{name:0>12}</uuid><metadata>
<order:order xmlns:order="urn:virengine:order:1">{order}</order:order></metadata></domain>"""
POLICY = '[[rule]]\nmatch = {tag = "front"}\nafter = ["db"]\n'


@pytest.mark.parametrize("change", ["a tag", "a domain that is named"])
async def test_whatever_changes_the_order_reaches_the_live_scopes(change: str) -> None:
    front = DOCUMENT.format(name="fe", order="<order:tag name='front'/>")
    plain = DOCUMENT.format(name="fe", order="")
    db = DOCUMENT.format(name="db", order="")
    async with Engine("test:///default", policy=POLICY, systemd=False) as engine:
        web = await engine.define(front if change == "a domain that is named" else plain)
        if change == "a tag":
            await engine.define(db)
        await web.start()
        scopes = Scopes()
        engine.order._scoping.scopes = scopes  # type: ignore[assignment]
        web.scope = "machine-web.scope"
        changed = scopes.changed
        await engine.define(front if change == "a tag" else db)
        with anyio.fail_after(10):
            await changed.wait()
        assert scope_unit("test-db") in scopes.told["machine-web.scope"]
