"""Configurations of other tools to definitions of domains, and back: Xen's xl and xm, LXC's, VMware's.

The formats are called as ``virsh domxml-from-native`` calls them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.native.conversion import Conversion, Host, NativeText
from engine.errors import ConfigError

__all__ = ["FORMATS", "Conversion", "Host", "NativeText", "from_native", "to_native"]

#: What there is; ``lxc-tools`` can only be read.
FORMATS = ("lxc-tools", "vmware-vmx", "xen-xl", "xen-xm")
_HOST = Host()


def from_native(
    format: str, text: str | bytes, *, source: str | None = None, folder: str | None = None, host: Host = _HOST
) -> Conversion:
    """The definition that a configuration amounts to; what has no equivalent is in its warnings, with lines.

    Args:
        format: of the text, one of ``FORMATS``.
        source: the file it came from, for messages.
        folder: the file's, as an absolute path: files that a .vmx names without one are there. Without it their names
            are left as they are, which no definition may have, so there is a warning of each.
        host: what the text leaves to the host.

    Raises:
        ConfigError: it is not of that format, or says what no domain can be; with the line.
    """
    match format:
        case "xen-xl" | "xen-xm":
            from engine.conf.native.xl import read_xen

            return read_xen(text, format, source=source, host=host)
        case "lxc-tools":
            from engine.conf.native.lxc_tools import read_lxc

            return read_lxc(text, source=source, host=host)
        case "vmware-vmx":
            vmx = _vmx()
            files = None if folder is None else vmx.FileNames.in_folder(folder)
            return vmx.read_vmx(text, source=source, files=files)  # type: ignore[no-any-return]
    raise _unknown(format, FORMATS)


def to_native(format: str, definition: DomainDocument, *, host: Host = _HOST) -> NativeText:
    """The definition as a configuration; what that does not say is in its warnings, with the definition's lines.

    Args:
        format: what to write, one of ``FORMATS`` but for ``lxc-tools``.

    Raises:
        ConfigError: it is no domain of that kind, or says what the configuration can't hold.
    """
    if not isinstance(definition, DomainDocument):
        raise ConfigError(f"<{definition.kind}> is no guest", source=definition.source)
    match format:
        case "xen-xl" | "xen-xm":
            from engine.conf.native.xl import write_xen

            return write_xen(definition, format, host=host)
        case "vmware-vmx":
            return _vmx().write_vmx(definition)  # type: ignore[no-any-return]
    raise _unknown(format, tuple(name for name in FORMATS if name != "lxc-tools"))


def _vmx() -> Any:
    """By name, since it stands beside this package and imports it."""
    return import_module("engine.vmx")


def _unknown(format: str, known: tuple[str, ...]) -> ConfigError:
    return ConfigError(f"'{format[:40]}' is no format for this; there are {', '.join(known)}")
