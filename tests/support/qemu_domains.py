"""Domain documents for the QEMU driver, round a boot sector."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from support.guests import boot_sector

from engine import Domain, Engine

__all__ = ["boot_sector_domain", "engine_in", "said", "wait_said"]


def boot_sector_domain(
    name: str,
    folder: Path,
    *,
    devices: str = "",
    top: str = "",
    kind: str = "qemu",
    emulator: str = "",
    metadata: str = "",
    disk: str = "raw",
    **parameters: object,
) -> str:
    """A document whose guest is a boot sector of its own in ``folder``, and whose serial line goes to a file there."""
    image = folder / f"{name}.img"
    if not image.exists():
        boot_sector(image, **parameters)  # type: ignore[arg-type]
    return f"""\
<domain type='{kind}'>
  <name>{name}</name>
  <memory unit='MiB'>8</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  {top}
  <devices>
    {f"<emulator>{emulator}</emulator>" if emulator else ""}
    <disk type='file' device='disk'>
      <driver name='qemu' type='{disk}'/><source file='{image}'/><target dev='vda' bus='virtio'/>
    </disk>
    <serial type='file'><source path='{serial(name, folder)}'/></serial>
    {devices}
  </devices>
  {f"<metadata>{metadata}</metadata>" if metadata else ""}
</domain>
"""


def serial(name: str, folder: Path) -> Path:
    """Where its serial line goes."""
    return folder / f"{name}.serial"


def said(name: str, folder: Path) -> list[str]:
    """The words it has said so far."""
    path = serial(name, folder)
    return path.read_text().split() if path.exists() else []


async def wait_said(domain: Domain | str, folder: Path, word: str = "ready", times: int = 1) -> None:
    """Wait until the guest has said ``word`` so many times."""
    name = domain if isinstance(domain, str) else domain.name
    while said(name, folder).count(word) < times:
        await anyio.sleep(0.005)  # a file that another process writes: in a test, looking again is good enough


@asynccontextmanager
async def engine_in(folder: Path, *, leave: bool = False) -> AsyncIterator[Engine]:
    """An engine whose state is in ``folder``; its guests end with it, unless they are left to the next."""
    with anyio.fail_after(60):
        async with Engine("qemu:///session", state_dir=folder / "state", systemd=False) as engine:
            try:
                yield engine
            finally:
                with anyio.CancelScope(shield=True):
                    for domain in engine.domains():
                        if domain.active and not leave:
                            await domain.destroy()
