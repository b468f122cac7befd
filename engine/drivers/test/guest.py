"""An imaginary guest: what it does when it is asked, read from its definition's metadata."""

from __future__ import annotations

import msgspec

from engine.conf import DomainDefinition
from engine.errors import ConfigError

__all__ = ["GUEST_NAMESPACE", "Guest", "read_guest"]

#: ``<metadata><test:guest xmlns:test="urn:virengine:test:1" shutdown="2" ignore="acpi agent" agent="no"/></metadata>``
GUEST_NAMESPACE = "urn:virengine:test:1"


class Guest(msgspec.Struct, kw_only=True):
    """How one guest behaves.

    Attributes:
        shutdown: seconds it takes to power off once asked; boot: seconds until its agent answers.
        ignore: the requests it does not hear, of ``acpi`` and ``agent``.
        agent: it has a guest agent.
        paused: its CPUs stand.
    """

    shutdown: float = 0.0
    boot: float = 0.0
    ignore: frozenset[str] = frozenset()
    agent: bool = True
    paused: bool = False


def read_guest(definition: DomainDefinition) -> Guest:
    """The guest a definition asks for.

    Raises:
        ConfigError: a value of ``<test:guest>`` makes no sense.
    """
    if GUEST_NAMESPACE not in definition.text:  # nearly always: no need to parse
        return Guest()
    element = definition.element().find(f"metadata/{{{GUEST_NAMESPACE}}}guest")
    if element is None:
        return Guest()
    try:
        return Guest(
            shutdown=float(element.get("shutdown", "0")),
            boot=float(element.get("boot", "0")),
            ignore=frozenset(element.get("ignore", "").split()),
            agent=element.get("agent", "yes") != "no",
        )
    except ValueError as exc:
        raise ConfigError(f"<test:guest>: {exc}", source=definition.source) from exc
