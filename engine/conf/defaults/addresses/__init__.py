"""The addresses that a domain's devices get when it is defined, and the controllers that are added for them.

Each bus has its module: ``pci`` (with ``buses``, ``placing`` and ``settings``), ``drives``, ``ports``, ``usb``,
``channels``, ``numbered``. Which device goes to which bus says ``connections``; what the machine decides, ``machines``.
"""

from __future__ import annotations

from engine.conf.defaults.addresses.assign import assign_addresses, assign_drive_addresses
from engine.conf.defaults.addresses.machines import Abilities

__all__ = ["Abilities", "assign_addresses", "assign_drive_addresses"]
