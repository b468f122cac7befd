"""All webhooks of an engine that is served."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from engine.core import Engine
from engine.errors import NoSuchWebhook
from engine.server.webhooks.hook import Hook, WebhookState
from engine.server.webhooks.settings import Webhook, check_name
from engine.store import DiskStore

__all__ = ["Webhooks"]

log = logging.getLogger(__name__)


class Webhooks:
    """Runs them. How far each is, is kept in ``webhooks/NAME.json`` in the state directory, if there is one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._folder = engine.store.path / "webhooks" if isinstance(engine.store, DiskStore) else None
        self._hooks: dict[str, Hook] = {}
        self._running: dict[str, tuple[anyio.CancelScope, anyio.Event]] = {}
        self._tasks: TaskGroup | None = None

    def run_in(self, tasks: TaskGroup) -> None:
        """From now on they run in ``tasks``."""
        self._tasks = tasks
        for name in self._hooks:
            self._start(name)

    async def configure(self, settings: Sequence[Webhook]) -> None:
        """Have these and no others; those that are as they were go on undisturbed. Files are read anew.

        Raises:
            ConfigError: all is as it was.
        """
        for number, each in enumerate(settings):
            check_name(each, settings[:number])
        kept: set[str] = set()
        # what is changed goes on where the one before it stood, so that one has to end first; yet errors come before
        for each in settings:
            await (made := self._made(each)).prepare()
            if (hook := self._hooks.get(each.name)) is not None and hook.is_like(made):
                kept.add(each.name)
        for name in [name for name in self._hooks if name not in kept]:
            await self._stop(name)
        for each in settings:
            if each.name not in kept:
                hook = self._made(each)
                await hook.prepare()
                self._hooks[each.name] = hook
                self._start(each.name)

    def _made(self, settings: Webhook) -> Hook:
        path: Path | None = self._folder / f"{settings.name}.json" if self._folder else None
        return Hook(self._engine, settings, path)

    def _start(self, name: str) -> None:
        if self._tasks is not None:
            self._running[name] = anyio.CancelScope(), anyio.Event()
            self._tasks.start_soon(self._run, self._hooks[name], *self._running[name], name=f"webhook {name}")

    async def _run(self, hook: Hook, scope: anyio.CancelScope, ended: anyio.Event) -> None:
        try:
            with scope:
                await hook.run()
        except Exception:  # the boundary: one webhook must end neither the others nor the service
            log.exception("webhook '%s' failed", hook.settings.name)
        finally:
            ended.set()

    async def _stop(self, name: str) -> None:
        del self._hooks[name]
        if name in self._running:
            scope, ended = self._running.pop(name)
            scope.cancel()
            await ended.wait()

    def states(self) -> list[WebhookState]:
        return [hook.state for hook in self._hooks.values()]

    def retry(self, name: str) -> WebhookState:
        """Try all that waits at once, and the dead letters once more. Raises NoSuchWebhook."""
        try:
            hook = self._hooks[name]
        except KeyError:
            raise NoSuchWebhook(name) from None
        hook.retry()
        return hook.state
