"""Requests to change something, in the imperative. The bus routes each to the one connection that owns the domain."""

from __future__ import annotations

import os
from itertools import count
from typing import ClassVar, Literal

import msgspec

from engine.conf import DomainDefinition
from engine.lifecycle import Command

__all__ = [
    "DefineDomain",
    "DestroyDomain",
    "DomainCommand",
    "ManagedSaveDomain",
    "RebootDomain",
    "ResetDomain",
    "RestoreDomain",
    "ResumeDomain",
    "SaveDomain",
    "SetAutostart",
    "ShutdownDomain",
    "ShutdownMethod",
    "StartDomain",
    "SuspendDomain",
    "UndefineDomain",
]

ShutdownMethod = Literal["default", "agent", "acpi"]

# unique without asking the kernel for each: this process's random part, and a counter
_process = os.urandom(4).hex()
_counter = count(1)


def _command_id() -> str:
    return f"{_process}-{next(_counter)}"


class DomainCommand(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The root of all commands.

    Attributes:
        connection: URI of the connection that owns the domain.
        domain, uuid: which one.
        id: names the command; the events it causes carry it as ``cause``.
        kind: what the lifecycle table calls it.
    """

    kind: ClassVar[Command]
    connection: str
    domain: str
    uuid: str
    id: str = msgspec.field(default_factory=_command_id)


class DefineDomain(DomainCommand, frozen=True, kw_only=True, gc=False):
    kind = Command.DEFINE
    definition: DomainDefinition


class UndefineDomain(DomainCommand, frozen=True, kw_only=True, gc=False):
    """``managed_save``: discard the managed save, too."""

    kind = Command.UNDEFINE
    managed_save: bool = False


class StartDomain(DomainCommand, frozen=True, kw_only=True, gc=False):
    """``paused``: with its CPUs stopped; ``force_boot``: discard the managed save instead of restoring it."""

    kind = Command.START
    paused: bool = False
    force_boot: bool = False


class ShutdownDomain(DomainCommand, frozen=True, kw_only=True, gc=False):
    kind = Command.SHUTDOWN
    method: ShutdownMethod = "default"


class RebootDomain(DomainCommand, frozen=True, kw_only=True, gc=False):
    kind = Command.REBOOT
    method: ShutdownMethod = "default"


class ResetDomain(DomainCommand, frozen=True, kw_only=True, gc=False):
    kind = Command.RESET


class SuspendDomain(DomainCommand, frozen=True, kw_only=True, gc=False):
    kind = Command.SUSPEND


class ResumeDomain(DomainCommand, frozen=True, kw_only=True, gc=False):
    kind = Command.RESUME


class DestroyDomain(DomainCommand, frozen=True, kw_only=True, gc=False):
    kind = Command.DESTROY


class SaveDomain(DomainCommand, frozen=True, kw_only=True, gc=False):
    """``path``: absolute, of the file to write."""

    kind = Command.SAVE
    path: str


class RestoreDomain(DomainCommand, frozen=True, kw_only=True, gc=False):
    """``path``: absolute, of a file ``SaveDomain`` wrote; ``definition``: the one in it, which the guest runs with."""

    kind = Command.RESTORE
    definition: DomainDefinition
    path: str
    paused: bool = False


class ManagedSaveDomain(DomainCommand, frozen=True, kw_only=True, gc=False):
    kind = Command.MANAGED_SAVE


class SetAutostart(DomainCommand, frozen=True, kw_only=True, gc=False):
    kind = Command.AUTOSTART
    autostart: bool = True
