"""Backups that are pushed, and that are pulled."""

from __future__ import annotations

import pytest

from engine.conf.documents import format, parse, validate
from engine.conf.kinds.backup import PullBackup, PushBackup, PushFileDisk, SocketServer


def wrong(text: str) -> list[str]:
    return [str(problem) for problem in validate(text)]


def test_the_mode_says_which_it_is() -> None:
    push = parse("<domainbackup><disks><disk name='vda' type='file'/></disks></domainbackup>")
    assert isinstance(push, PushBackup)
    assert push.mode is None
    assert push.disks is not None
    assert push.disks.disks == (PushFileDisk(name="vda", type_="file"),)
    assert "mode" not in format(push)
    pull = parse("<domainbackup mode='pull'><server transport='unix' socket='/s'/></domainbackup>")
    assert isinstance(pull, PullBackup)
    assert isinstance(pull.server, SocketServer)
    assert parse(format(pull)) == pull


@pytest.mark.parametrize(
    ("disk", "push", "pull"),
    [
        ("<disk name='vda' backup='no'/>", [], []),
        ("<disk name='vda'/>", [": it lacks its attribute 'type'"], []),
        ("<disk name='vda' backup='yes'/>", [": it lacks its attribute 'type'"], [": 'backup' needs 'type'"]),
        ("<disk name='vda' type='block'/>", [], [": it lacks its element <scratch>"]),
        ("<disk name='vda' type='file' exportname='x'/>", ["/@exportname: unknown attribute 'exportname'"], []),
        ("<disk name='vda' type='file'><driver type='raw'/></disk>", [], ["/driver/@type: 'raw' is not 'qcow2'"]),
        (
            "<disk name='vda' backup='no' backupmode='full' incremental='a'/>",
            [": 'incremental' can't be there if 'backupmode' is full"],
            [": 'incremental' can't be there if 'backupmode' is full"],
        ),
    ],
)
def test_disks(disk: str, push: list[str], pull: list[str]) -> None:
    at = "/domainbackup/disks/disk"
    assert wrong(f"<domainbackup><disks>{disk}</disks></domainbackup>") == [at + each for each in push]
    server = "<server name='localhost'/>"
    pulled = wrong(f"<domainbackup mode='pull'>{server}<disks>{disk}</disks></domainbackup>")
    assert pulled == [at + each for each in pull]
