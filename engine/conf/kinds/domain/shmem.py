"""``<shmem>``: memory that several guests share. Source: libvirt's "Domain XML format", Shared memory device."""

from __future__ import annotations

from typing import Annotated, Literal

from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.domain.device import Acpi, Device
from engine.conf.kinds.values import AbsFilePath, OnOff, UnsignedInt
from engine.conf.nodes.node import Node
from engine.conf.nodes.values import Pattern

__all__ = ["Shmem"]

ShmemName = Annotated[str, Pattern("shmemName", "[^/]*", "a name without slashes")]


class ShmemModel(Node):
    """Which device it is.

    Attributes:
        type_: ivshmem-plain: just the memory; ivshmem-doorbell: guests can interrupt each other, by way of a server;
            ivshmem: either, of old.
    """

    type_: Literal["ivshmem", "ivshmem-plain", "ivshmem-doorbell"]


class ShmemServer(Node):
    """The server that brings the guests together.

    Attributes:
        path: of its socket; one made of the memory's name when it is left out.
    """

    path: AbsFilePath | None = None


class ShmemMsi(Node):
    """Guests can interrupt each other by messages.

    Attributes:
        vectors: of interrupts.
        ioeventfd: they go past the hypervisor.
    """

    ioeventfd: OnOff | None = None
    vectors: UnsignedInt | None = None


class Shmem(Device):
    """Memory that guests of this host share.

    Attributes:
        name: the same in each of them.
        role: master: it goes with this guest on a migration; peer: the guest can't be migrated with it. Since 6.6.0.
        model: which device it is.
        size: a power of 2, at least 1 MiB; in bytes without a unit.
        server: who brings the guests together.
        msi: how they interrupt each other.
    """

    unit_inside = "bytes"
    name: ShmemName
    role: Literal["master", "peer"] | None = None
    model: ShmemModel | None = None
    size: ScaledInteger | None = None
    server: ShmemServer | None = None
    msi: ShmemMsi | None = None
    acpi: Acpi | None = None
