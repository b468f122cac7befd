"""Keyboards and mice, USB hubs, smart cards, random numbers and TPMs.

Source: the sections of these in libvirt's "Domain XML format".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias

from engine.conf.kinds.domain.chardev import CharBackend, SerialTarget
from engine.conf.kinds.domain.device import Acpi, Address, Device, VirtioDriver, VirtioModel
from engine.conf.kinds.values import AbsDirPath, AbsFilePath, FilePath, OnOff, PositiveInt, Uuid, YesNo
from engine.conf.nodes.node import Attr, Body, Flag, Node, Text

__all__ = ["Hub", "Input", "InputDevice", "Rng", "Smartcard", "Tpm"]


# ---------------------------------------------------------------------------- input


class InputDevice(Device):
    """A device for what the user types and points at.

    Attributes:
        model: (virtio) of the device; virtio-transitional, say, for old guests.
        driver: (virtio) how it is driven.
    """

    model: VirtioModel | None = None
    driver: VirtioDriver | None = None
    acpi: Acpi | None = None


class EmulatedInput(InputDevice):
    """A device that clients of the guest's screen use.

    Attributes:
        type_: a tablet points at places, a mouse only moves.
        bus: without one, chosen by the type and the guest.
    """

    type_: Literal["tablet", "mouse", "keyboard"]
    bus: Literal["ps2", "usb", "xen", "virtio"] | None = None


class PassthroughSource(Node):
    """A device of the host's.

    Attributes:
        evdev: its path, as /dev/input/event1.
    """

    evdev: AbsFilePath


class PassthroughInput(InputDevice):
    """A device of the host's, passed through with all that it can do."""

    type_: Literal["passthrough"]
    bus: Literal["virtio"]
    source: PassthroughSource


class EvdevSource(Node):
    """A device of the host's.

    Attributes:
        dev: its path, as /dev/input/event1.
        grab: all: while the guest has it, it has all such devices.
        grab_toggle: which keys switch between host and guest; without it, both ctrl.
        repeat: keys that are held down repeat.
    """

    dev: AbsFilePath
    grab: Literal["all"] | None = None
    grab_toggle: Annotated[
        Literal["ctrl-ctrl", "alt-alt", "shift-shift", "meta-meta", "scrolllock", "ctrl-scrolllock"] | None,
        Attr("grabToggle"),
    ] = None
    repeat: OnOff | None = None


class EvdevInput(InputDevice):
    """A device of the host's, whose events go to the guest's keyboard or mouse while it has them."""

    type_: Literal["evdev"]
    source: EvdevSource


Input: TypeAlias = EmulatedInput | PassthroughInput | EvdevInput


class Hub(Device):
    """A hub, for more USB ports."""

    type_: Literal["usb"]


# ---------------------------------------------------------------------------- smart cards


class SmartcardDevice(Node):
    """A smart card, in a USB reader.

    Attributes:
        address: in which slot of which reader.
    """

    acpi: Acpi | None = None
    address: Address | None = None


class HostSmartcard(SmartcardDevice):
    """The card that is in the host's reader."""

    mode: Literal["host"]


class CertificateSmartcard(SmartcardDevice):
    """A card made of certificates of an NSS database on the host.

    Attributes:
        certificates: the names of three.
        database: its path, without which it is /etc/pki/nssdb.
    """

    mode: Literal["host-certificates"]
    certificates: Annotated[tuple[str, ...], Text("certificate")]
    database: Annotated[AbsDirPath | None, Text] = None

    def check(self) -> Iterator[str]:
        if len(self.certificates) != 3:
            yield f"it needs three <certificate>, and has {len(self.certificates)}"


class PassthroughSmartcard(CharBackend):
    """A card that a program provides through a character device, such as a SPICE client.

    Attributes:
        target: (no effect)
        address: in which slot of which reader.
    """

    mode: Literal["passthrough"]
    target: SerialTarget | None = None
    acpi: Acpi | None = None
    address: Address | None = None


Smartcard: TypeAlias = HostSmartcard | CertificateSmartcard | PassthroughSmartcard


# ---------------------------------------------------------------------------- random numbers


class RandomBackend(Node):
    """A device of the host's.

    Attributes:
        path: /dev/urandom is recommended; without one, the hypervisor's own choice.
    """

    model: Literal["random"]
    path: Annotated[AbsFilePath | None, Body] = None


class EgdBackend(CharBackend):
    """A daemon that speaks the EGD protocol."""

    model: Literal["egd"]


class BuiltinBackend(Node):
    """The hypervisor's own generator."""

    model: Literal["builtin"]


class RngRate(Node):
    """How much the guest may take.

    Attributes:
        bytes: in each period.
        period: in milliseconds; without it, a second.
    """

    bytes: PositiveInt
    period: PositiveInt | None = None


class Rng(Device):
    """A device that the guest gets random numbers from."""

    comes_first = ("rate", "backend")
    model: VirtioModel
    backend: RandomBackend | EgdBackend | BuiltinBackend
    driver: VirtioDriver | None = None
    rate: RngRate | None = None
    acpi: Acpi | None = None


# ---------------------------------------------------------------------------- TPM


class TpmBackend(Node):
    """What is behind a TPM.

    Attributes:
        version: of the standard.
    """

    version: Literal["1.2", "2.0"] | None = None


class TpmDevicePath(Node):
    """A TPM of the host's.

    Attributes:
        path: without one, /dev/tpm0.
    """

    path: FilePath | None = None


class PassthroughTpm(TpmBackend):
    """The host's own TPM, which nobody else may use then."""

    type_: Literal["passthrough"]
    device: TpmDevicePath | None = None


class TpmEncryption(Node):
    """The state is encrypted.

    Attributes:
        secret: the UUID of a <secret> that holds the passphrase.
    """

    secret: Uuid


class ActivePcrBanks(Node):
    """Which banks of platform configuration registers are active, set each time the guest starts."""

    sha1: Annotated[bool, Flag] = False
    sha256: Annotated[bool, Flag] = False
    sha384: Annotated[bool, Flag] = False
    sha512: Annotated[bool, Flag] = False


class EmulatorTpm(TpmBackend):
    """An emulator, swtpm, that libvirt runs for the guest.

    Attributes:
        persistent_state: its state is kept when the guest goes that is not defined.
        encryption: of its state.
        active_pcr_banks: (2.0) without it, those that were active stay so.
    """

    type_: Literal["emulator"]
    persistent_state: YesNo | None = None
    encryption: TpmEncryption | None = None
    active_pcr_banks: ActivePcrBanks | None = None


class ExternalTpmSource(Node):
    """The socket of an emulator."""

    type_: Literal["unix"]
    path: FilePath
    mode: Literal["connect"]


class ExternalTpm(TpmBackend):
    """An emulator that something else runs."""

    type_: Literal["external"]
    source: ExternalTpmSource | None = None


class Tpm(Device):
    """A trusted platform module.

    Attributes:
        model: without one, tpm-tis, or tpm-spapr for pseries; spapr-tpm-proxy may be beside another.
    """

    model: Literal["tpm-tis", "tpm-crb", "tpm-spapr", "spapr-tpm-proxy"] | None = None
    backend: PassthroughTpm | EmulatorTpm | ExternalTpm
