"""Snapshots and checkpoints: what becomes of memory and disks."""

from __future__ import annotations

import pytest

from engine.conf.documents import format, parse, validate
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.snapshot import (
    BlockSnapshotDisk,
    DomainReference,
    FileSnapshotDisk,
    FileSnapshotMemory,
    NetworkSnapshotDisk,
    PlainSnapshotDisk,
    SnapshotDocument,
)

DISKS = (
    "<disk name='vda' snapshot='no'/><disk name='vdb'><source file='/b'/></disk>"
    "<disk name='/c' type='block'><source dev='/dev/c'/></disk>"
    "<disk name='vdd' snapshot='external' type='network'><source protocol='nbd'><host name='h'/></source></disk>"
)


def test_disks_are_told_apart() -> None:
    read = parse(f"<domainsnapshot><memory file='/m'/><disks>{DISKS}</disks></domainsnapshot>")
    assert isinstance(read, SnapshotDocument)
    assert isinstance(read.memory, FileSnapshotMemory)
    assert read.disks is not None
    assert [type(disk) for disk in read.disks.disks] == [
        PlainSnapshotDisk,
        FileSnapshotDisk,
        BlockSnapshotDisk,
        NetworkSnapshotDisk,
    ]
    assert parse(format(read)) == read


@pytest.mark.parametrize(
    ("inside", "problem"),
    [
        ("<memory/>", "/domainsnapshot/memory: it lacks its attribute 'file'"),
        ("<memory snapshot='no' file='/m'/>", "/domainsnapshot/memory/@file: unknown attribute 'file'"),
        (
            "<disks><disk name='vda' snapshot='manual'><source file='/x'/></disk></disks>",
            "/domainsnapshot/disks/disk/source: unknown <source>",
        ),
        (
            "<disks><disk name='vda' type='network'><source protocol='nfs' name='/x'><host name='h'/></source></disk>"
            "</disks>",
            "/domainsnapshot/disks/disk/source: it lacks its element <identity>",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(inside: str, problem: str) -> None:
    found = [str(each) for each in validate(f"<domainsnapshot>{inside}</domainsnapshot>")]
    assert found == [problem]


def test_an_old_snapshot_has_only_a_uuid_of_its_domain() -> None:
    uuid = "93a5c045-6457-2c09-e56c-927cdf34e178"
    read = parse(f"<domainsnapshot><domain><uuid>{uuid}</uuid></domain></domainsnapshot>")
    assert isinstance(read, SnapshotDocument)
    assert read.domain == DomainReference(uuid=uuid)


def test_the_domain_in_a_snapshot_is_as_any_other() -> None:
    domain = "<domain type='kvm'><name>a</name><memory>1</memory><os><type>hvm</type></os></domain>"
    inactive = domain.replace("domain", "inactiveDomain").replace("<memory>1", "<memory>2")
    text = f"<domainsnapshot>{domain}{inactive}</domainsnapshot>"
    read = parse(text)
    assert isinstance(read, SnapshotDocument)
    assert isinstance(read.domain, DomainDocument) and read.domain == parse(domain)
    assert read.inactive_domain is not None and read.inactive_domain != read.domain
    assert parse(format(read)) == read
    assert [problem.xpath for problem in validate(text.replace("hvm", "hvn"))] == [
        "/domainsnapshot/domain/os/type",
        "/domainsnapshot/inactiveDomain/os/type",
    ]


def test_a_checkpoint_has_no_bitmap_of_a_disk_left_out() -> None:
    text = "<domaincheckpoint><disks><disk name='vda' checkpoint='no' bitmap='x'/></disks></domaincheckpoint>"
    assert [problem.xpath for problem in validate(text)] == ["/domaincheckpoint/disks/disk/@bitmap"]
    assert not validate(text.replace("'no'", "'bitmap'"))
