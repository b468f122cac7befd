"""What VMware calls things, where reading and writing must agree. Source: VMware's public lists of .vmx parameters."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["AUTO_DETECT", "CDROMS_OF_ESX", "NO_MEDIUM", "PROTOCOLS", "SCSI_MODELS", "SHARES", "ScsiModel", "uuid_text"]

ScsiModel: TypeAlias = Literal["buslogic", "lsilogic", "lsisas1068", "vmpvscsi"]
Protocol: TypeAlias = Literal["raw", "telnet", "telnets", "tls"]

#: The file name of a drive that takes whatever drive the host has, and of one without a medium.
AUTO_DETECT = "auto detect"
NO_MEDIUM = "emptyBackingString"
#: Where ESX has the drives that take commands from the guest.
CDROMS_OF_ESX = "/vmfs/devices/cdrom/"
#: The shares of each CPU of a machine, by the word for them.
SHARES = {"low": 500, "normal": 1000, "high": 2000}
#: How libvirt calls a SCSI controller, by how VMware does.
SCSI_MODELS: dict[str, ScsiModel] = {
    "buslogic": "buslogic",
    "lsilogic": "lsilogic",
    "lsisas1068": "lsisas1068",
    "pvscsi": "vmpvscsi",
}
#: What is spoken on a serial port, by the scheme of its URI (vSphere API, VirtualSerialPortURIBackingInfo); the first
#: of each is written.
PROTOCOLS: dict[str, Protocol] = {
    "tcp": "raw",
    "tcp4": "raw",
    "tcp6": "raw",
    "": "raw",
    "telnet": "telnet",
    "telnets": "telnets",
    "ssl": "tls",
    "tcp+ssl": "tls",
    "tcp4+ssl": "tls",
    "tcp6+ssl": "tls",
}


def uuid_text(uuid: str) -> str:
    """A UUID as VMware writes it: ``56 4d ...-...``, two halves of bytes."""
    digits = uuid.replace("-", "").lower()
    pairs = [digits[at : at + 2] for at in range(0, 32, 2)]
    return f"{' '.join(pairs[:8])}-{' '.join(pairs[8:])}"
