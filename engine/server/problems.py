"""Errors as RFC 9457 problem documents, with the facts that the engine's errors carry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from engine import errors
from engine.errors import EngineError, Problem

__all__ = ["MEDIA_TYPE", "Fault", "ProblemDocument", "problem_of"]

MEDIA_TYPE = "application/problem+json"

#: The first that fits. From 500 on it is the host, the hypervisor or the engine that failed, and not what was asked.
_STATUS: tuple[tuple[type[EngineError], int], ...] = (
    (errors.InvalidDocument, 422),
    (errors.UnsupportedConfig, 422),
    (errors.ConfigError, 400),
    (errors.NotFound, 404),
    (errors.DomainExists, 409),
    (errors.InvalidState, 409),
    (errors.Busy, 409),
    (errors.NotSupported, 422),
    (errors.OperationInvalid, 409),
    (errors.OperationAborted, 409),
    (errors.GateFailed, 409),
    (errors.AgentUnresponsive, 504),
    (errors.AgentError, 409),
    (errors.ResyncRequired, 410),
    (errors.CommandTimeout, 504),
    (errors.EngineClosed, 503),
    (errors.HostError, 503),
    (errors.DriverError, 502),
    (errors.EngineError, 500),
)


class ProblemDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong. Source: RFC 9457.

    Attributes:
        type: the error's class, as a URN; title: the same in words. status: of the answer. detail: one sentence.
        facts: what the error knows: the state it was in, what would be allowed, who holds it.
        problems: all that is wrong with a document.
    """

    type: str
    title: str
    status: int
    detail: str
    facts: dict[str, Any] = {}
    problems: tuple[Problem, ...] = ()


class Fault(Exception):
    """What is wrong with a request itself."""

    def __init__(self, status: int, title: str, detail: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail, self.headers = status, title, detail, headers or {}


def problem_of(exc: Exception) -> ProblemDocument:
    """The document for an error; of one that nobody expected nothing is told."""
    if isinstance(exc, Fault):
        kind = exc.title.lower().replace(" ", "-")
        return ProblemDocument(
            type=f"urn:virengine:request:{kind}", title=exc.title, status=exc.status, detail=exc.detail
        )
    if not isinstance(exc, EngineError):
        return ProblemDocument(
            type="urn:virengine:error:defect", title="Defect", status=500, detail="this is a defect of virengine"
        )
    name = type(exc).__name__
    return ProblemDocument(
        type=f"urn:virengine:error:{name}",
        title=_words(name),
        status=next(status for cls, status in _STATUS if isinstance(exc, cls)),
        detail=str(exc),
        facts=_facts(exc),
        problems=exc.problems if isinstance(exc, errors.InvalidDocument) else (),
    )


def _words(name: str) -> str:
    return "".join(f" {sign.lower()}" if sign.isupper() else sign for sign in name).strip().capitalize()


def _facts(exc: EngineError) -> dict[str, Any]:
    found = {name: _fact(value) for name, value in vars(exc).items() if name != "problems"}
    return {name: fact for name, fact in found.items() if fact is not None}


def _fact(value: Any) -> Any:
    """What JSON can hold of it; None: nothing that helps."""
    if isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list) and all(isinstance(each, str | int) for each in value):
        return list(value)
    return None
