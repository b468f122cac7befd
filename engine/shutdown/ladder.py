"""Stopping one domain: the steps of its ladder in turn, until it is gone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from typing import Any

import anyio

from engine.conf.order import StopStep
from engine.errors import CommandTimeout, ConnectionBroken, EngineError
from engine.events.types import DomainStopTried
from engine.shutdown.controls import Controls
from engine.shutdown.report import Outcome, Try
from engine.shutdown.words import duration

__all__ = ["AGENT_ANSWERS", "Climb", "ending"]

#: Seconds an agent has to say that it is there, before its step is skipped: one that lives answers in milliseconds.
AGENT_ANSWERS = 3.0
#: Seconds until a driver that could not reach the guest is asked again, where the step has no ``repeat`` of its own.
_AGAIN = 1.0
_UNREACHED = (ConnectionBroken, CommandTimeout)
# these take the guest away themselves, and have an end of their own to come to
_THOROUGH = ("save", "destroy")
_LEADS_TO: dict[str, Outcome] = {"agent": "stopped", "acpi": "stopped", "save": "saved", "destroy": "destroyed"}
_ENDINGS: dict[str, Outcome] = {
    "saved": "saved",
    "destroyed": "destroyed",
    "crashed": "crashed",
    "failed": "crashed",
}
_NEAR = "the deadline is near"
# less is not worth asking for
_LEAST = 0.01


def ending(controls: Controls, key: str) -> Outcome:
    """What became of a domain that is gone, whatever was tried with it."""
    return _ENDINGS.get(controls.ended(key), "stopped")


class Climb:
    """One climb of one ladder.

    Attributes:
        tries: the steps as they went.
        method: what the domain stopped by; "" when it stopped by itself.
    """

    def __init__(self, controls: Controls, key: str, ladder: tuple[StopStep, ...], tries: list[Try]) -> None:
        self._controls = controls
        self._key = key
        self._ladder = ladder
        self.tries = tries
        self.method = ""
        self._until = 0.0
        self._trying: anyio.CancelScope | None = None
        self._at_most = 0.0  # when what is tried now must end however much time there is

    def extend(self, until: float) -> None:
        """Let the last step, which was to have less than it may take, go on until then."""
        self._until = until
        if self._trying is not None:
            self._trying.deadline = min(until, self._at_most)

    async def run(self, until: float, keep: float, deadline: float = inf) -> Outcome:
        """Climb until the domain is gone or the ladder ends.

        A domain that stops while it is waited for is done with, whyever it did; one whose guest dies is not waited for
        any more. A save or destroy that has begun is never given up because the domain is gone: it has its own end to
        come to. A step by which the driver can't reach the guest is tried again for as long as it may take.

        Args:
            until: when it must be done, in the clock of the event loop; keep: seconds of that kept for the last step.
            deadline: when everything must be: a ``destroy``, of which a second is planned, may take until then.

        Returns:
            ``stopped``, ``saved``, ``destroyed``, ``crashed`` (it is gone, and did not power off), or ``failed``: it
            still runs.
        """
        if not self._controls.is_active(self._key):
            return "already"
        self._until = max(self._until, until)
        cut: list[StopStep] = []
        for step in self._ladder:
            last = step is self._last()
            left = (self._until if last else until - keep) - anyio.current_time()
            seconds = max(left, keep if last else 0.0)
            if step.method == "destroy":
                seconds = max(seconds, deadline - anyio.current_time())
            await self._step(step, min(step.timeout, seconds))
            if not self._controls.is_active(self._key):
                return ending(self._controls, self._key)
            tried = self.tries[-1]
            if seconds < step.timeout and (tried.result == f"skipped: {_NEAR}" or tried.seconds >= seconds):
                cut.append(step)
        for step in cut:  # for the sake of a last step, which failed before its time: it is theirs again
            left = self._until - anyio.current_time()
            if left < _LEAST:
                break
            await self._step(step, min(step.timeout, left))
            if not self._controls.is_active(self._key):
                return ending(self._controls, self._key)
        return "failed"

    def _last(self) -> StopStep | None:
        """The last step that can work as things are now."""
        return next((step for step in reversed(self._ladder) if not self._refuses(step)), None)

    def _refuses(self, step: StopStep) -> str:
        return self._controls.refuses(self._key, step.method)

    async def _step(self, step: StopStep, seconds: float) -> None:
        attempt = Try(method=step.method)
        self.tries.append(attempt)
        reason = self._refuses(step)
        until = anyio.current_time() + seconds
        if not reason and seconds < min(_LEAST, step.timeout):
            reason = _NEAR
        if not reason and step.method == "agent":
            reason = await self._silent_agent(min(AGENT_ANSWERS, seconds / 2))
        if not self._controls.is_active(self._key):
            attempt.result = "not needed any more"
            return
        if reason:
            attempt.result = f"skipped: {reason}"
            self._controls.publish(
                self._key, DomainStopTried, method=step.method, timeout=step.timeout, outcome="skipped", reason=reason
            )
            return
        began = anyio.current_time()
        seconds = until - began  # asking whether the agent is there took of it
        self._controls.publish(self._key, DomainStopTried, method=step.method, timeout=seconds)
        try:
            attempt.result = await self._try(step, seconds)
        finally:
            attempt.seconds = anyio.current_time() - began
            attempt.result = attempt.result or "given up"

    async def _silent_agent(self, seconds: float) -> str:
        """Why the agent is not worth asking, or ""."""
        error: EngineError | None = None
        with anyio.move_on_after(seconds) as waiting:
            error = await _until_over(self._controls, self._key, self._controls.target(self._key).agent_sync)
        if error is not None:
            return "" if isinstance(error, _UNREACHED) else str(error)
        return f"the agent did not answer within {duration(seconds)}" if waiting.cancelled_caught else ""

    async def _try(self, step: StopStep, seconds: float) -> str:
        error: EngineError | None = None
        asked = False
        began = anyio.current_time()
        self._at_most = began + step.timeout
        with anyio.CancelScope(deadline=began + seconds) as self._trying:
            while True:
                error = await self._ask(step.method)
                asked = asked or error is None
                if not asked and not isinstance(error, _UNREACHED):
                    break  # not once was it heard: on with the next step
                pause = step.repeat if not asked or step.method not in _THOROUGH else 0.0
                with anyio.move_on_after(pause or (None if asked else _AGAIN)):
                    await self._controls.wait_over(self._key)
                    break
        self._trying = None
        if not self._controls.is_active(self._key):
            outcome = ending(self._controls, self._key)
            self.method = (
                step.method if (asked or step.method in _THOROUGH) and outcome == _LEADS_TO[step.method] else ""
            )
            return "it crashed" if outcome == "crashed" else "it stopped"
        if self._controls.is_lost(self._key):
            return "it crashed"
        if error is not None and not asked:
            return str(error)
        return f"it did not stop within {duration(anyio.current_time() - began)}"

    async def _ask(self, method: str) -> EngineError | None:
        async def call() -> None:
            await self._controls.ask_stop(self._key, method)

        if method in _THOROUGH:
            return await _quietly(call)
        return await _until_over(self._controls, self._key, call)


async def _quietly(call: Callable[[], Awaitable[Any]]) -> EngineError | None:
    try:
        await call()
    except EngineError as exc:
        return exc
    return None


async def _until_over(controls: Controls, key: str, call: Callable[[], Awaitable[Any]]) -> EngineError | None:
    """Call it, and give it up when the domain is gone or its guest dead. The error it raised, if it did."""
    error: EngineError | None = None

    async def watch() -> None:
        await controls.wait_over(key)
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        error = await _quietly(call)
        tasks.cancel_scope.cancel()
    return error
