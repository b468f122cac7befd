"""Disks of Xen's guests: xl's and xm's specifications of them, and back.

Source: xl-disk-configuration(5), and "Deprecated Parameters" there for what xm had.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from engine.conf.kinds.domain.device import BackendDomain
from engine.conf.kinds.domain.disk import (
    BaseDisk,
    BlockDisk,
    Disk,
    DiskDriver,
    DiskTarget,
    FileDisk,
    NetworkDisk,
)
from engine.conf.kinds.domain.storage import BlockSource, FileSource
from engine.conf.native.xl.keys import Keys, Spec
from engine.conf.native.xl.rbd import rbd_source, rbd_text
from engine.conf.native.xl.text import Item, options_text

__all__ = ["read_xl_disks", "read_xm_disks", "xl_disk", "xm_disk"]

FORMATS = ("raw", "qcow", "qcow2", "vhd", "qed")
#: Words before the target that xl ignores.
IGNORED_PREFIXES = ("tapdisk", "tap2", "tap", "aio", "ioemu", "file", "phy")
_MOST_PREFIXES = 8
SCRIPT_PREFIXES = ("iscsi", "nbd", "enbd", "drbd")
_DRIVERS = {"phy": "phy", "qdisk": "qemu", "tap": "tap"}
_BACKENDS = {"phy": "phy", "qemu": "qdisk", "file": "qdisk", "tap": "tap", "tap2": "tap"}
#: Formats that have another name for libvirt.
_SAME_FORMATS = {"vpc": "vhd", "aio": "raw"}
_DEVICES = {"", "cdrom", "disk"}
_POSITIONS = ("target", "format", "vdev", "access")
_OPTION = re.compile(r"\s*([A-Za-z][A-Za-z0-9_-]*)=")
_FLAG = re.compile(r"cdrom|no-discard|discard|direct-io-safe|trusted|untrusted|colo|removable")
_OLD_DEVICE = re.compile(r"(?:ioemu:)?(?:hd|sd|xvd|vd|fd)[a-z0-9]+(?::\w+)?")
#: The bus of an emulated disk, by its name.
_BUSES = (("xvd", "xen"), ("sd", "scsi"), ("vd", "virtio"), ("fd", "fdc"), ("hd", "ide"))


def _bus(name: str, hvm: bool) -> Any:
    """Guests that know Xen see all disks on its own bus."""
    if not hvm:
        return "xen"
    return next((bus for beginning, bus in _BUSES if name.startswith(beginning)), "ide")


# ---------------------------------------------------------------------------- xl


def read_xl_disks(keys: Keys, hvm: bool) -> Iterator[Disk]:
    for number, item in enumerate(keys.strings("disk"), 1):
        yield _xl_disk(keys, f"disk[{number}]", item, hvm)


def _xl_disk(keys: Keys, place: str, item: Item, hvm: bool) -> Disk:
    spec = Spec(keys, place, item, text="")
    options = _xl_options(spec, str(item.value))
    vdev, _, device = options.pop("vdev", "").removeprefix("ioemu:").partition(":")
    said = options.pop("format", "")
    target, form, script = _prefixes(options.pop("target", ""), said or "raw")
    if said not in ("", form):
        spec.warn("format", "the one before the target counts")
    if not vdev or form not in (*FORMATS, "empty"):
        raise spec.error("a disk needs 'vdev', and a format of raw, qcow, qcow2, vhd or qed")
    backend = options.pop("backendtype", "") or "qdisk"
    driver = _DRIVERS.get(backend, "qemu")
    if backend not in _DRIVERS:
        spec.warn("backendtype")
    parts = _xl_parts(spec, options, device, hvm, vdev)
    driven = DiskDriver(name=driver, type_=_format(form), discard=_discard(spec, options), line=item.line)
    for name, value in (("script", script), *options.items()):
        if value:
            spec.warn(name)
    return _disk(spec, {**parts, "driver": driven, "line": item.line}, driver, target)


def _xl_parts(spec: Spec, options: dict[str, str], device: str, hvm: bool, vdev: str) -> dict[str, Any]:
    """What the guest sees of a disk; its options are taken."""
    type_ = options.pop("devtype", "")
    cdrom = "cdrom" in (type_, device) or options.pop("cdrom", None) is not None
    if not {type_, device} <= _DEVICES:
        spec.warn("devtype")
    return {
        "device": "cdrom" if cdrom else "floppy" if hvm and vdev.startswith("fd") else "disk",
        "target": DiskTarget(dev=vdev, bus=_bus(vdev, hvm)),
        "readonly": _readonly(spec, options.pop("access", ""), cdrom),
        "backenddomain": _backend_domain(options.pop("backend", "")),
    }


def _format(form: str) -> Any:
    return "raw" if form == "empty" else form


def _discard(spec: Spec, options: dict[str, str]) -> Any:
    on, off = options.pop("discard", None), options.pop("no-discard", None)
    if on and off:
        spec.warn("discard", "it has no effect with 'no-discard'")
    return "ignore" if off else "unmap" if on else None


def _backend_domain(name: str) -> BackendDomain | None:
    return BackendDomain(name=name) if name else None


def _disk(spec: Spec, common: dict[str, Any], driver: str, target: str) -> Disk:
    if target.startswith("rbd:"):
        return NetworkDisk(type_="network", source=rbd_source(target, spec), **common)
    if driver == "phy":
        return BlockDisk(type_="block", source=BlockSource(dev=target) if target else None, **common)
    return FileDisk(type_="file", source=FileSource(file=target) if target else None, **common)


def _xl_options(spec: Spec, text: str) -> dict[str, str]:
    """By name, what has a name and what has a place; ``target=`` takes all the rest."""
    options: dict[str, str] = {}
    places = [*_POSITIONS]
    parts = text.split(",")
    for number, part in enumerate(parts):
        option = _OPTION.match(part)
        if option and option[1] in options:
            raise spec.error(f"'{option[1][:40]}' is said twice")
        if option and option[1] == "target":
            options["target"] = ",".join(parts[number:])[option.end() :]
            break
        if option:
            options[option[1]] = part[option.end() :].strip()
        elif _FLAG.fullmatch(part.strip()):
            options[part.strip()] = "yes"
        else:
            _put_in_place(options, places, part.strip())
    return options


def _put_in_place(options: dict[str, str], places: list[str], text: str) -> None:
    """At the next place that is free; what looks like a device where a format is due is of the older form."""
    while places and places[0] in options:
        places.pop(0)
    if places and places[0] == "format" and _OLD_DEVICE.fullmatch(text):
        places.pop(0)
    if places:
        options[places.pop(0)] = text
    elif text:
        options[text] = "yes"


def _prefixes(target: str, form: str) -> tuple[str, str, str]:
    """The target without the words that were before it once, the format, and the script's name."""
    script = ""
    for _ in range(_MOST_PREFIXES):
        word, colon, rest = target.partition(":")
        if colon and word in FORMATS:
            form = word
        elif colon and word in SCRIPT_PREFIXES:
            script = f"block-{word}"
        elif not colon or word not in IGNORED_PREFIXES:
            break
        target = rest
    if target and not script and not target.startswith(("/", "rbd:")):
        target = f"/dev/{target}"
    return target, form, script


def _readonly(spec: Spec, access: str, cdrom: bool) -> bool:
    if access not in ("", "r", "ro", "w", "rw", "w!", "!"):
        raise spec.error("the access of a disk is ro or rw")
    return _is_readonly(spec, access in ("r", "ro") if access else cdrom, cdrom)


def _is_readonly(spec: Spec, readonly: bool, cdrom: bool) -> bool:
    if cdrom and not readonly:
        spec.warn("access", "a CD-ROM is only read")
    return readonly or cdrom


def xl_disk(disk: Disk) -> str | None:
    """None: xl has no way to say it."""
    source = _source_text(disk)
    driver = disk.driver or DiskDriver()
    form = _SAME_FORMATS.get(driver.type_ or "raw", driver.type_ or "raw")
    if source is None or disk.device == "floppy" or form not in FORMATS:
        return None
    readonly = disk.readonly or disk.device == "cdrom"
    backend = disk.backenddomain.name if disk.backenddomain else None
    options = [("format", form), ("vdev", disk.target.dev), ("access", "ro" if readonly else "rw")]
    words = [options_text([*options, ("backendtype", _backend(disk)), ("backend", backend)])]
    if driver.discard:
        words.append("discard" if driver.discard == "unmap" else "no-discard")
    if disk.device == "cdrom":
        words.append("devtype=cdrom")
    if source:
        words.append(f"target={source}")  # which has to be the last, since it may hold commas
    return ",".join(words)


def _backend(disk: BaseDisk) -> str | None:
    if disk.driver is not None and disk.driver.name is not None:
        return _BACKENDS.get(disk.driver.name)
    return "phy" if isinstance(disk, BlockDisk) else None


def _source_text(disk: Disk) -> str | None:
    """Empty: there is no medium; None: xl has no way to say it."""
    if isinstance(disk, FileDisk):
        return (disk.source.file if disk.source else None) or ""
    if isinstance(disk, BlockDisk):
        return (disk.source.dev if disk.source else None) or ""
    return rbd_text(disk.source) if isinstance(disk, NetworkDisk) else None


# ---------------------------------------------------------------------------- xm


def read_xm_disks(keys: Keys, hvm: bool) -> Iterator[Disk]:
    for number, item in enumerate(keys.strings("disk"), 1):
        yield _xm_disk(keys, f"disk[{number}]", item, hvm)
    for name in ("fda", "fdb"):
        path = keys.string(name)
        if path:
            yield _xm_floppy(name, path, keys.line(name))


def _xm_disk(keys: Keys, place: str, item: Item, hvm: bool) -> Disk:
    parts, spec = str(item.value).rsplit(",", 2), Spec(keys, place, item, text="")
    if len(parts) < 2:
        raise spec.error("a disk is 'source,device,mode'")
    source, name, mode = (*parts, "w")[:3]
    name, _, device = name.strip().removeprefix("ioemu:").partition(":")
    mode, cdrom = mode.strip(), device == "cdrom"
    if device not in _DEVICES or mode not in ("r", "ro", "w", "rw", "w!", "r!"):
        raise spec.error("after the source there are a device, as hda or hdc:cdrom, and r, w or w!")
    driver, form, path = _xm_source(source.strip())
    common: dict[str, Any] = {
        "device": "cdrom" if cdrom else "floppy" if name.startswith("fd") else "disk",
        "driver": DiskDriver(name=driver, type_=form, line=item.line),
        "target": DiskTarget(dev=name, bus=_bus(name, hvm)),
        "readonly": _is_readonly(spec, mode.startswith("r") and mode != "rw", cdrom),
        "shareable": mode.endswith("!"),
        "line": item.line,
    }
    return _disk(spec, common, driver, path)


def _xm_source(text: str) -> tuple[str, Any, str]:
    """The driver, the format and the path; without a driver, a device's (phy)."""
    driver, colon, rest = text.partition(":")
    if not colon or driver.startswith("/"):
        return "phy", "raw", text
    if driver not in ("tap", "tap2"):
        return driver, "raw", rest
    form, colon, path = rest.partition(":")
    if not colon:
        return driver, "raw", rest
    return driver, "raw" if form == "aio" else form, path


def _xm_floppy(name: str, path: str, line: int) -> Disk:
    driver = DiskDriver(name="file", type_="raw", line=line)
    target = DiskTarget(dev=name, bus="fdc")
    return FileDisk(
        type_="file", device="floppy", driver=driver, source=FileSource(file=path), target=target, line=line
    )  # fmt: skip


def xm_disk(disk: Disk) -> str | None:
    """None: xm has no way to say it."""
    path = None if isinstance(disk, NetworkDisk) else _source_text(disk)
    if path is None or disk.device == "floppy":
        return None
    device = ":cdrom" if disk.device == "cdrom" else ""
    mode = "r" if disk.readonly else "w!" if disk.shareable else "w"
    return f"{_xm_prefix(disk) if path else ''}{path},{disk.target.dev}{device},{mode}"


def _xm_prefix(disk: Disk) -> str:
    driver = disk.driver.name if disk.driver else None
    if driver not in ("tap", "tap2"):
        return f"{driver}:" if driver in ("phy", "file") else "phy:" if isinstance(disk, BlockDisk) else "file:"
    form = (disk.driver.type_ if disk.driver else None) or "raw"
    return f"{driver}:{'aio' if form == 'raw' else form}:"


def xm_floppies(disks: Iterable[Disk]) -> Iterator[tuple[str, str]]:
    """The settings of floppy drives."""
    for disk in disks:
        path = _source_text(disk) if disk.device == "floppy" else None
        if path and disk.target.dev in ("fda", "fdb"):
            yield disk.target.dev, path
