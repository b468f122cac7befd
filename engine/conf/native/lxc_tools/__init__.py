"""LXC's lxc.container.conf, of versions 2 and 3 and later, to definitions of containers."""

from __future__ import annotations

from engine.conf.native.lxc_tools.reading import read_lxc

__all__ = ["read_lxc"]
