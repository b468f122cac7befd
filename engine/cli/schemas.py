"""What commands print with ``--json``, as types: the documentation is written from them, and tests hold the commands to
them. What is in here stays as it is; more may come to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from engine.abc import Display
from engine.conf.nodes.differences import Difference
from engine.errors import Problem
from engine.server.api.declared import Declared
from engine.server.api.facts import DomainFacts
from engine.server.api.past import CloudEvent
from engine.server.operations import Operation
from engine.server.webhooks.hook import WebhookState
from engine.shutdown.drill import Check
from engine.shutdown.plan import PlanStep
from engine.shutdown.report import Entry
from engine.systemd.doctor import Diagnosis

__all__ = ["NONE", "OUTPUTS", "schema_of", "schemas"]


class DomainDetails(DomainFacts, frozen=True, kw_only=True):
    """A domain, and what it uses now.

    Attributes:
        cpu_time: seconds; max_memory, memory, resident: KiB; what the driver can't tell is null.
        console, log: paths.
    """

    title: str | None
    type: str
    vcpus: int
    cpu_time: float | None
    max_memory: int
    memory: int
    resident: int | None
    console: str | None
    log: str | None


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes: path: of the file that was written; media_type: what is in it."""

    path: str
    media_type: str


class DomainState(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes: state, reason: libvirt's words."""

    state: str
    reason: str


class DomainId(msgspec.Struct, frozen=True, kw_only=True):
    """What a domain is known by."""

    uuid: str


class Because(msgspec.Struct, frozen=True, kw_only=True):
    """One domain of the critical path, and its seconds."""

    name: str
    seconds: float


class PlanDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What would be done.

    Attributes:
        steps: what with each domain, in the order of the beginnings. seconds: the worst case.
        budget: seconds the host gives, null: not known; fits: whether they do, spare: how many are left.
        critical_path: names; because: the same, with seconds. waves: names, by how many others come before.
        parallel: so many at once, null: as many as there are.
    """

    direction: str
    steps: list[PlanStep]
    critical_path: list[str]
    seconds: float
    budget: float | None
    parallel: int | None
    fits: bool | None
    spare: float | None
    because: list[Because]
    waves: list[list[str]]


class ReportDocument(msgspec.Struct, frozen=True, kw_only=True):
    """How it went: see ``engine.shutdown.report.Report``. ok: every domain got where it should."""

    direction: str
    began: float
    seconds: float
    planned: float
    budget: float | None
    entries: list[Entry]
    interrupted: bool
    late: bool
    problems: list[str]
    ok: bool


class DrillDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What a drill found."""

    plan: PlanDocument
    checks: list[Check]
    ok: bool


class FileProblem(Problem, frozen=True, kw_only=True):
    """What is wrong with a document, and in which file."""

    file: str


class TokenFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A token; not its secret. created, expires: seconds since 1970; null: never."""

    name: str
    role: str
    domains: list[str]
    created: float
    expires: float | None


Domains: TypeAlias = list[DomainFacts]
_ACTIONS = (
    "define",
    "undefine",
    "start",
    "shutdown",
    "reboot",
    "reset",
    "suspend",
    "resume",
    "destroy",
    "save",
    "restore",
    "managedsave",
    "autostart",
)

#: By command, and by the option where one makes it something else.
OUTPUTS: dict[str, Any] = {
    "list": Domains,
    "info": DomainDetails,
    "domstate": DomainState,
    "domuuid": DomainId,
    "events": CloudEvent,
    "wait": DomainFacts,
    "domdisplay": list[Display],
    "screenshot": Picture,
    **dict.fromkeys(_ACTIONS, Domains),
    "order": list[Declared],
    "plan": PlanDocument,
    "up": ReportDocument,
    "down": ReportDocument,
    "down --drill": DrillDocument,
    "operations": list[Operation],
    "operations --cancel": Operation,
    "webhooks": list[WebhookState],
    "validate": list[FileProblem],
    "diff": list[Difference],
    "doctor": Diagnosis,
    "token list": list[TokenFacts],
}

#: Commands without ``--json``, and why.
NONE: dict[str, str] = {
    "dumpxml": "prints a document",
    "complete": "prints a document",
    "domxml-from-native": "prints a document",
    "domxml-to-native": "prints a document",
    "schema": "prints a document",
    "completion": "prints a script",
    "watch": "draws on a terminal",
    "console": "shows a terminal",
    "vncdisplay": "is 'domdisplay --json' in virsh's words",
    "qemu-agent-command": "prints the agent's answer, which is JSON as it is",
    "serve": "tells through its API",
    "config check": "has nothing to say but what is wrong",
    "token add": "prints the token, and nothing else",
    "token remove": "has nothing to say",
    "install-units": "has nothing to say that 'doctor --json' does not",
}


def schema_of(type_: Any) -> dict[str, Any]:
    """The JSON Schema of what a command prints, with all that it takes in ``$defs``."""
    return msgspec.json.schema(type_, schema_hook=_foreign)


def schemas(ref_template: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """For each command the schema of what it prints, and the types that these name, by name."""
    found, types = msgspec.json.schema_components(OUTPUTS.values(), schema_hook=_foreign, ref_template=ref_template)
    return dict(zip(OUTPUTS, found, strict=True)), types


def _foreign(type_: type) -> dict[str, Any]:
    if issubclass(type_, Path):
        return {"type": "string"}
    raise NotImplementedError
