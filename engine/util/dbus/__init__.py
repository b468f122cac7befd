"""D-Bus for asyncio and trio: dbus-next's message codec over a transport of our own.

dbus-next itself is imported when the first bus is opened, so importing these names is cheap.
"""

from engine.util.dbus.bus import Bus, open_bus
from engine.util.dbus.export import Handler, Return
from engine.util.dbus.message import Errors, MatchRule, Message, MessageType, UnixFd, Variant, unwrap
from engine.util.dbus.subscription import NameWatch, Overflow, SignalSubscription

__all__ = [
    "Bus",
    "Errors",
    "Handler",
    "MatchRule",
    "Message",
    "MessageType",
    "NameWatch",
    "Overflow",
    "Return",
    "SignalSubscription",
    "UnixFd",
    "Variant",
    "open_bus",
    "unwrap",
]
