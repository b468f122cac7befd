"""What comes of converting a configuration: a definition or a text, and what of it could not be carried over."""

from __future__ import annotations

from typing import Literal

import msgspec

from engine.conf.kinds.domain.document import DomainDocument
from engine.errors import Problem

__all__ = ["Conversion", "Host", "NativeText"]


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """What configurations leave to the host they are used on. The defaults are those of a usual x86 host.

    Attributes:
        uuid: of the domain, where the configuration has none; None: it is made up when the domain is defined.
        arch: of guests that don't say which they are for.
        hvm_loader, uefi_loader: Xen's firmware, where the configuration names no file.
        virtualization: what the host's CPU calls its help for hypervisors, which a guest may be denied.
        lxc_emulator: the program that runs containers.
    """

    uuid: str | None = None
    arch: Literal["x86_64", "i686"] = "x86_64"
    hvm_loader: str = "/usr/lib/xen/boot/hvmloader"
    uefi_loader: str = "/usr/lib/xen/boot/ovmf.bin"
    virtualization: Literal["vmx", "svm"] = "vmx"
    lxc_emulator: str = "/usr/libexec/libvirt_lxc"


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """A definition made of another tool's configuration.

    Attributes:
        warnings: each setting that has no equivalent, by line; ``xpath`` is the setting's name, as ``vif[1]/rate``.
    """

    definition: DomainDocument
    warnings: tuple[Problem, ...] = ()


class NativeText(msgspec.Struct, frozen=True, kw_only=True):
    """Another tool's configuration made of a definition.

    Attributes:
        warnings: each element and attribute that the text does not say, or says otherwise, by line of the definition.
    """

    text: str
    warnings: tuple[Problem, ...] = ()
