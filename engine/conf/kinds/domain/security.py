"""Confinement and encryption of guests. Source: libvirt's "Domain XML format", Security label and those after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias

from engine.conf.kinds.values import HexNumber, LooseUnsignedInt, OnOff, UnsignedInt, YesNo
from engine.conf.nodes.node import Attr, Child, Node, Text

__all__ = [
    "DynamicSecLabel",
    "IdMap",
    "IdRange",
    "KeyWrap",
    "KeyWrapCipher",
    "LaunchSecurity",
    "NoSecLabel",
    "S390PvLaunchSecurity",
    "SecLabel",
    "SevLaunchSecurity",
    "StaticSecLabel",
]


# ---------------------------------------------------------------------------- labels


class BaseSecLabel(Node):
    """How a security driver confines the guest; one for each driver.

    Attributes:
        model: the driver: selinux, apparmor or dac; the first that the host has if it is left out.
    """

    known_by = ("model",)
    model: str | None = None


class DynamicSecLabel(BaseSecLabel):
    """A label that libvirt makes for each start of the guest, and gives to what it uses.

    Attributes:
        relabel: always yes.
        label, imagelabel: of a guest that runs: its own, and that of what it uses.
        baselabel: what the label is made from.
    """

    type_: Literal["dynamic"] | None = None
    relabel: YesNo | None = None
    label: Annotated[str | None, Text] = None
    imagelabel: Annotated[str | None, Text] = None
    baselabel: Annotated[str | None, Text] = None

    def check(self) -> Iterator[str]:
        if self.relabel is False:
            yield "a dynamic label needs relabel='yes'"


class StaticSecLabel(BaseSecLabel):
    """A label of the administrator's choice.

    Attributes:
        relabel: whether it is given to what the guest uses; not if it is left out.
        label: a context of SELinux, a profile of AppArmor, or (dac) owner and group with a colon between them.
        imagelabel: of a guest that runs: that of what it uses.
    """

    type_: Literal["static"]
    relabel: YesNo | None = None
    label: Annotated[str, Text]
    imagelabel: Annotated[str | None, Text] = None


class NoSecLabel(BaseSecLabel):
    """The guest is not confined.

    Attributes:
        relabel: always no.
    """

    type_: Literal["none"]
    relabel: YesNo | None = None

    def check(self) -> Iterator[str]:
        if self.relabel:
            yield "without a label there can't be relabel='yes'"


SecLabel: TypeAlias = DynamicSecLabel | StaticSecLabel | NoSecLabel


# ---------------------------------------------------------------------------- encryption


class SevLaunchSecurity(Node):
    """The guest's memory is encrypted by AMD SEV. Since 4.4.0.

    Attributes:
        kernel_hashes: the measurement covers kernel, initrd and command line. Since 8.0.0.
        cbitpos: the bit of a page table's entry that says a page is encrypted; reduced_phys_bits: how many bits
            physical addresses lose by it. Both as the domain capabilities say.
        policy: of the SEV API: what the firmware forbids, as bits. 0: debugging, 1: sharing of keys, 2: anything but
            SEV-ES, 3: migration, 4: out of its domain, 5: to what can't SEV, 16 and more: to older firmware.
        handle: of a guest that runs: its number in the firmware.
        dh_cert, session: of the owner, in base 64, for an encrypted channel to the firmware.
    """

    type_: Literal["sev"]
    kernel_hashes: Annotated[YesNo | None, Attr("kernelHashes")] = None
    cbitpos: Annotated[LooseUnsignedInt | None, Text] = None
    reduced_phys_bits: Annotated[LooseUnsignedInt | None, Text("reducedPhysBits")] = None
    policy: Annotated[HexNumber, Text]
    handle: Annotated[UnsignedInt | None, Text] = None
    dh_cert: Annotated[str | None, Text("dhCert")] = None
    session: Annotated[str | None, Text] = None


class S390PvLaunchSecurity(Node):
    """The guest runs as an IBM Secure Execution guest. Since 7.6.0."""

    type_: Literal["s390-pv"]


LaunchSecurity: TypeAlias = SevLaunchSecurity | S390PvLaunchSecurity


class KeyWrapCipher(Node):
    """Whether an S/390 guest may protect keys with a wrapping key, by one algorithm."""

    known_by = ("name",)
    name: Literal["aes", "dea"]
    state: OnOff


class KeyWrap(Node):
    """Whether an S/390 guest may protect keys with its wrapping keys. Without, it may by both algorithms."""

    ciphers: Annotated[tuple[KeyWrapCipher, ...], Child("cipher")]


# ---------------------------------------------------------------------------- containers


class IdRange(Node):
    """Some users or groups of a container are others on the host.

    Attributes:
        start: the first in the container, 0; target: what it is on the host; count: how many there are.
    """

    known_by = ("start",)
    start: UnsignedInt
    target: UnsignedInt
    count: UnsignedInt


class IdMap(Node):
    """A container has a user namespace, with these users and groups."""

    uids: Annotated[tuple[IdRange, ...], Child("uid")] = ()
    gids: Annotated[tuple[IdRange, ...], Child("gid")] = ()
