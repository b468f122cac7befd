"""URI scheme to driver class; a driver is imported when the first connection asks for it."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from engine.abc import ConnectionURI, Driver
from engine.conf.document import suggest
from engine.errors import NoSuchDriver

__all__ = ["ENTRY_POINTS", "find_driver", "schemes"]

#: The entry point group in which other distributions name their drivers: ``scheme = "package.module:Class"``.
ENTRY_POINTS = "engine.drivers"

# Our own are named here as well as in pyproject.toml: reading the metadata of every installed distribution costs more
# than a whole ``virengine list``.
_BUILT_IN = {
    "test": "engine.drivers.test:TestDriver",
    "qemu": "engine.drivers.qemu:QemuDriver",
}


def find_driver(uri: ConnectionURI) -> type[Driver]:
    """The driver class for ``uri``.

    Raises:
        NoSuchDriver: no driver has this scheme.
    """
    target = _BUILT_IN.get(uri.driver) or _entry_point(uri.driver)
    if target is None:
        raise NoSuchDriver(str(uri), f"no driver has the scheme '{uri.driver}'{suggest(uri.driver, schemes())}")
    module, _, name = target.partition(":")
    return cast("type[Driver]", getattr(import_module(module), name))


def _entry_point(scheme: str) -> str | None:
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINTS, name=scheme):
        return point.value
    return None


def schemes() -> tuple[str, ...]:
    """All the schemes that a driver is known for, sorted."""
    from importlib.metadata import entry_points

    return tuple(sorted({*_BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINTS))}))
