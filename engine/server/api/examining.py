"""``doctor`` as the API has it: does the host's own shutdown keep the order?"""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import anyio.to_thread
import sniffio

from engine.core import Engine
from engine.server.api.routes import Answer, Body, Call, Route
from engine.server.problems import Fault
from engine.store import DiskStore
from engine.systemd import install
from engine.systemd.doctor import Diagnosis, diagnosis

__all__ = ["ROUTES", "examine"]


class DoctorBody(Body, frozen=True, kw_only=True):
    """Attributes: fix: mend what can be mended; dry_run: only say what would be done."""

    fix: bool = False
    dry_run: bool = False


async def get_doctor(call: Call) -> Answer:
    return Answer(content=await examine(call.engine))


async def post_doctor(call: Call) -> Answer:
    body: DoctorBody = call.body or DoctorBody()
    return Answer(content=await examine(call.engine, fix=body.fix, dry_run=body.dry_run))


async def examine(engine: Engine, *, fix: bool = False, dry_run: bool = False) -> Diagnosis:
    """Raises HostError; Fault: the engine is one of which no unit can know."""
    user = os.geteuid() != 0
    folder = install.units_dir(user=user)
    units = await anyio.to_thread.run_sync(_units, engine, user, folder, sniffio.current_async_library())
    findings, done = await engine.doctor(units=units, folder=folder, fix=fix, dry_run=dry_run)
    if done and not dry_run:
        findings, _ = await engine.doctor(units=units, folder=folder)
    return diagnosis(findings, done, engine.order.stop_timeout())


def _units(engine: Engine, user: bool, folder: Path, backend: str) -> dict[str, str]:
    """What the unit files of this engine should be; blocking."""
    if not isinstance(engine.store, DiskStore):
        raise Fault(409, "Conflict", "this engine keeps nothing on disk: no unit can start or stop its guests")
    options = [text for uri in engine.connections for text in ("--uri", uri)]
    command = [*install.engine_command(), "--state-dir", str(engine.store.path), *options, "--backend", backend]
    return install.render_units(
        command,
        start=("up", "--resume", "--autostart"),
        state_dir=engine.store.path,
        socket=_socket(engine.store) if install.wants_service(folder, able=True) else None,
        timeout=engine.order.stop_timeout(),
        user=user,
    )


def _socket(store: DiskStore) -> Path:
    """Where the commands look for a service: as ``engine.cli.session.Session.socket``."""
    return (store.path if store.run.parent == store.path else store.run) / "api.sock"


ROUTES = (
    Route(
        method="GET",
        path="/v1/doctor",
        handler=get_doctor,
        role="viewer",
        summary="Whether the host's own shutdown keeps the order, and what is not as it should be.",
        answers={200: Diagnosis},
        faults=(409, 503),
    ),
    Route(
        method="POST",
        path="/v1/doctor",
        handler=post_doctor,
        role="admin",
        summary="The same, and mend what can be mended. Guests are neither started nor stopped by it.",
        body=DoctorBody,
        answers={200: Diagnosis},
        faults=(409, 503),
    ),
)
