"""The in-memory driver: libvirt's ``test:///default`` and ``test:///FILE``, with latency and faults to order."""

from engine.drivers.test.driver import TestDriver
from engine.drivers.test.guest import Guest

__all__ = ["Guest", "TestDriver"]
