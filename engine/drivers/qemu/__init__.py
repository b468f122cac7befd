"""The QEMU driver: real guests on this host."""

from engine.drivers.qemu.driver import QemuDriver

__all__ = ["QemuDriver"]
