"""Names of files: as a .vmx has them, and as a domain has them.

ESX keeps files in datastores, which its own file system has below ``/vmfs/volumes``. A domain names a file there
``[datastore] directory/file``, as VMware's clients do (libvirt's "VMware ESX hypervisor driver", Datastore references).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from engine.errors import ConfigError
from engine.vmx.document import unspeakable

__all__ = ["FileNames", "is_whole"]

_VOLUMES = "/vmfs/volumes/"
_IN_DATASTORE = re.compile(r"\[([^\]/]+)\] *(.*)", re.DOTALL)
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


def is_whole(name: str) -> bool:
    """Whether it says where the file is, by a path or a datastore."""
    return name.startswith(("/", "\\", "[")) or _DRIVE.match(name) is not None


class FileNames(msgspec.Struct, frozen=True, kw_only=True):
    """Where the .vmx is, and which datastores there are.

    Attributes:
        datastore: the one that holds the .vmx; empty: it is in none, as of Workstation.
        directory: the .vmx's, in its datastore or of the host; names without a directory are of files there.
        datastores: by what a path calls a datastore (mostly its UUID), its name; None: there is no such datastore.
            Those that are not listed are called as the path calls them.
    """

    datastore: str = ""
    directory: str = ""
    datastores: Mapping[str, str | None] = {}

    @classmethod
    def in_folder(cls, path: str) -> FileNames:
        """Of a .vmx in this folder of the host, an absolute path: below ``/vmfs/volumes`` it is in a datastore.

        Raises:
            ConfigError: no document can hold the folder's name.
        """
        if wrong := unspeakable(path):
            raise ConfigError(f"the name of its folder {wrong}")
        if path.startswith(_VOLUMES):
            datastore, _, directory = path.removeprefix(_VOLUMES).partition("/")
            return cls(datastore=datastore, directory=directory)
        return cls(directory=path)

    def from_vmx(self, name: str) -> str | None:
        """The name of a file for a domain; None: its datastore is not there."""
        if name.startswith(_VOLUMES):
            return self._in_datastore(name.removeprefix(_VOLUMES))
        if is_whole(name):
            return name
        beside = f"{self.directory.rstrip('/')}/{name}" if self.directory else name
        return f"[{self.datastore}] {beside}" if self.datastore else beside

    def _in_datastore(self, path: str) -> str | None:
        called, _, file = path.partition("/")
        name = self.datastores.get(called, called)
        return None if name is None else f"[{name}] {file}"

    def to_vmx(self, name: str) -> str:
        """The name of a file for a .vmx: always the whole path, wherever the .vmx will be."""
        found = _IN_DATASTORE.fullmatch(name)
        return f"{_VOLUMES}{found[1]}/{found[2]}" if found else name
