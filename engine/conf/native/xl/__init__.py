"""Xen's xl.cfg, and the files of xm before it: to definitions and back."""

from __future__ import annotations

from engine.conf.native.xl.reading import read_xen
from engine.conf.native.xl.writing import write_xen

__all__ = ["read_xen", "write_xen"]
