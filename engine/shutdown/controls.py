"""What ``up``, ``down`` and ``drill`` see of the world."""

from __future__ import annotations

from typing import Any, Protocol

from engine.events.types import Event
from engine.shutdown.gates import GateTarget

__all__ = ["Controls"]


class Controls(Protocol):
    """What ``up`` and ``down`` need of the domains. Keys are those of the graph; only EngineError is expected."""

    def is_active(self, key: str) -> bool:
        """It has a process."""

    def is_lost(self, key: str) -> bool:
        """It has a process, but its guest is dead (it crashed, and was kept to be looked at)."""

    def started_at(self, key: str) -> float:
        """When it was started, seconds since 1970; names this run of it."""

    def refuses(self, key: str, method: str) -> str:
        """Why the stop method can't work on the domain as it is now (the driver has none, it is paused), or ""."""

    def target(self, key: str) -> GateTarget:
        """The domain, as gates see it."""

    async def start(self, key: str) -> None:
        """Start it; from its managed save when there is one."""

    async def wait_ready(self, key: str) -> bool:
        """Wait for its gates. True: it is ready; False: it is not, and its order says to go on.

        Raises:
            GateFailed: it is not, or it stopped.
        """

    async def ask_stop(self, key: str, method: str) -> None:
        """``agent``, ``acpi``: return once the guest is asked; ``save`` (managed), ``destroy``: once it is gone."""

    async def wait_over(self, key: str) -> None:
        """Return once nothing is left in it that could be lost: it has no process, or ``is_lost``."""

    def ended(self, key: str) -> str:
        """How its last run ended, in libvirt's words: ``shutdown``, ``saved``, ``destroyed``, ``crashed``, ..."""

    async def reach(self, key: str) -> None:
        """Ask the driver something that changes nothing. Raises EngineError when it can't reach the guest."""

    async def remember(self, record: Any) -> None:
        """Persist what ``down`` did (plain JSON data); None: forget it. Raises StoreError."""

    def publish(self, key: str | None, event_type: type[Event], **facts: Any) -> None:
        """Publish an event, about the domain if ``key`` is given."""
