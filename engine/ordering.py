"""Order inside an engine: one graph of what the domains declare, for plans, for up and down, and for systemd's scopes."""

from __future__ import annotations

from typing import Any
from engine.abc import ScopeInfo


class Ordering:
    def __init__(self, engine: Any, *, policy: Any, budget: float | None, systemd: bool) -> None:
        self.engine = engine

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    def check(self, definition: Any) -> None:
        pass

    async def resume(self) -> None:
        pass

    async def down(self) -> None:
        pass

    def domain_started(self, domain: Any) -> None:
        domain.passed_gate("running")

    async def create_scope(self, domain: Any, leader: int, interfaces: Any) -> ScopeInfo:
        return ScopeInfo(reason="no systemd")
