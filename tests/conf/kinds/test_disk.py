"""Disks, what they are based on, and where their data is."""

from __future__ import annotations

import time
from typing import Any

import pytest
from support.elements import problems_of, read, rewritten

from engine.conf.kinds.domain import disk, storage
from engine.conf.kinds.domain.disk import BackingStore, Disk, IoTune, Mirror
from engine.conf.kinds.domain.storage import NetworkSource
from engine.conf.kinds.storage_common import Encryption, HostAdapter

UUID = "f52a81b2-424e-490c-823d-6bd4235bc572"
FULL = f"""\
<disk type='block' device='lun' model='virtio' snapshot='manual' rawio='yes' sgio='unfiltered'>
  <driver name='qemu' type='qcow2' cache='none' io='io_uring' discard='unmap' queues='04' packed='on'>
    <metadata_cache><max_size unit='MiB'>8</max_size></metadata_cache>
  </driver>
  <source dev='/dev/sda' index='1' startupPolicy='optional'>
    <slices><slice type='storage' offset='512' size='1024'/></slices>
    <encryption format='luks'><secret type='passphrase' uuid='{UUID}'/></encryption>
    <reservations managed='no'><source type='unix' path='/pr.sock' mode='client'/></reservations>
    <seclabel model='dac' relabel='no'/><seclabel><label>a:b</label></seclabel>
  </source>
  <backingStore type='network' index='2'>
    <format type='raw'/>
    <source protocol='rbd' name='pool/image'><host name='192.0.2.1' port='6789'/><host name='mon2'/></source>
    <backingStore/>
  </backingStore>
  <mirror job='copy' ready='yes'><source file='/copy'/><format type='qcow2'/></mirror>
  <target dev='sda' bus='scsi' rotation_rate='1'/>
  <iotune><total_bytes_sec>+1000</total_bytes_sec><read_iops_sec>10</read_iops_sec><group_name>g</group_name></iotune>
  <geometry cyls='16383' heads='16' secs='63' trans='lba'/>
  <blockio logical_block_size='512'/>
  <readonly/><shareable/><transient shareBacking='no'/>
  <serial>WD 1</serial><wwn>0x5000c50015ea71ad</wwn><vendor/><product>a disk</product>
  <boot order='1'/><alias name='ua-system'/><address type='drive' controller='0' unit='01'/>
</disk>"""


def disk_with(inside: str, attributes: str = "") -> str:
    return f"<disk {attributes}>{inside}<target dev='vda'/></disk>"


def test_a_disk_with_much_that_it_can_have() -> None:
    found = read(Disk, FULL)
    assert type(found) is disk.BlockDisk
    assert found.driver.queues == 4
    assert found.driver.metadata_cache.max_size.bytes() == 8 << 20
    assert found.source.slices.slice.offset == 512
    assert [host.name for host in found.backing_store.source.hosts] == ["192.0.2.1", "mon2"]
    assert found.backing_store.backing_store.ends
    assert found.vendor == ""
    assert rewritten(Disk, FULL)


@pytest.mark.parametrize(
    ("attributes", "source", "of"),
    [
        ("", "", disk.FileDisk),
        ("device='cdrom'", "<source startupPolicy='requisite'/>", disk.FileDisk),
        ("type='file'", "<source file='[datastore] a/b.vmdk' fdgroup='fds'/>", disk.FileDisk),
        ("type='block'", "<source dev='sda'/>", disk.BlockDisk),
        ("type='dir'", "<source dir='/files'/>", disk.DirDisk),
        ("type='network'", "<source protocol='nbd'><host transport='unix' socket='/s'/></source>", disk.NetworkDisk),
        ("type='volume' device='lun'", "<source pool='p' volume='v' mode='direct'/>", disk.VolumeDisk),
        ("type='nvme'", "<source type='pci' namespace='1'><address bus='1'/></source>", disk.NvmeDisk),
        ("type='vhostuser'", "<source type='unix' path='/s'><reconnect enabled='no'/></source>", disk.VhostUserDisk),
    ],
)
def test_the_type_says_where_the_data_is(attributes: str, source: str, of: type) -> None:
    text = disk_with(source, attributes)
    assert type(read(Disk, text)) is of
    assert rewritten(Disk, text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (disk_with("", "rawio='yes'"), "/disk/@rawio: unknown attribute 'rawio'"),
        (disk_with("", "type='block' sgio='filtered'"), "/disk: 'rawio' and 'sgio' are only for device='lun'"),
        (disk_with("", "type='network'"), "/disk: it lacks its element <source>"),
        (disk_with("<source dev='/dev/sda'/>"), "/disk/source/@dev: unknown attribute 'dev'"),
        (disk_with("<source fdgroup='x'/>"), "/disk/source: 'fdgroup' needs 'file'"),
        ("<disk/>", "/disk: it lacks its element <target>"),
    ],
)
def test_disks_that_are_refused(text: str, problem: str) -> None:
    assert problem in problems_of(Disk, text)


def test_a_lun_is_no_file() -> None:
    assert problems_of(Disk, disk_with("", "type='file' device='lun'"))


@pytest.mark.parametrize(
    ("attributes", "inside", "of"),
    [
        ("protocol='nbd' tls='yes' tlsHostname='h'", "<host name='h' port='10809'/>", storage.NbdSource),
        ("protocol='gluster' name='v/i'", "<host transport='rdma' name='a'/><host name='b'/>", storage.GlusterSource),
        (
            "protocol='rbd'",
            "<snapshot name='s'/><config file='/c'/>"
            "<auth username='u'><secret type='ceph' usage='k'/></auth><encryption format='luks2' engine='librbd'/>",
            storage.RbdSource,
        ),
        (
            "protocol='iscsi' name='iqn.x/1'",
            "<host name='h'/><initiator><iqn name='iqn.y'/></initiator>",
            storage.IscsiSource,
        ),
        (
            "protocol='https' name='i' query='a=b'",
            "<host name='h'/><ssl verify='no'/><cookies><cookie name='c'>v</cookie></cookies>"
            "<readahead size='65536'/><timeout seconds='6'/>",
            storage.HttpsSource,
        ),
        ("protocol='http' name='i'", "<host name='::1'/>", storage.HttpSource),
        ("protocol='ftp' name='i'", "<host name='h'/>", storage.FtpSource),
        ("protocol='ftps' name='i'", "<host name='h'/><ssl verify='yes'/>", storage.FtpsSource),
        ("protocol='tftp' name='i'", "<host name='h'/>", storage.PlainSource),
        ("protocol='vxhs' name='i' tls='no'", "<host name='h'/>", storage.VxhsSource),
        ("protocol='nfs' name='i'", "<host name='h'/><identity user='+0' group='g'/>", storage.NfsSource),
    ],
)
def test_each_protocol_has_its_own_options(attributes: str, inside: str, of: type) -> None:
    text = f"<source {attributes}>{inside}</source>"
    assert type(read(NetworkSource, text)) is of
    assert rewritten(NetworkSource, text)


@pytest.mark.parametrize(
    ("of", "text", "problem"),
    [
        (NetworkSource, "<source/>", "/source: it lacks its attribute 'protocol'"),
        (NetworkSource, "<source protocol='gluster' name='i'/>", "/source: it lacks its element <host>"),
        (
            NetworkSource,
            "<source protocol='http' name='i'><host name='h'/><ssl verify='no'/></source>",
            "/source/ssl: unknown <ssl>",
        ),
        (
            NetworkSource,
            "<source protocol='nbd'><host name='h'/><host name='i'/></source>",
            "/source/host[2]: <host> may be there only once",
        ),
        (Encryption, f"<encryption format='luks'><ivgen name='{UUID}'/></encryption>", "<ivgen> needs <cipher>"),
        (HostAdapter, "<adapter type='scsi_host'/>", "it lacks 'name' or <parentaddr>"),
        (HostAdapter, "<adapter type='fc_host' name='scsi_host1'/>", "unknown attribute 'name'"),
    ],
)
def test_sources_that_are_refused(of: Any, text: str, problem: str) -> None:
    assert problem in "\n".join(problems_of(of, text))


def test_only_an_empty_backing_store_has_no_format() -> None:
    assert read(BackingStore, "<backingStore/>").ends
    assert problems_of(BackingStore, "<backingStore index='1'/>") == ["/backingStore: it lacks its element <format>"]
    assert problems_of(BackingStore, "<backingStore type='dir'/>") == ["/backingStore: it lacks its element <format>"]


def test_long_chains_are_read_in_a_time_that_grows_with_them() -> None:
    depth = 200  # at two shapes a level it would take longer than there is
    link = "<backingStore><format type='qcow2'/><source dev='/wrong'/>"
    begin = time.monotonic()
    problems = problems_of(Disk, disk_with(link * depth + "</backingStore>" * depth))
    assert len(problems) == depth
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<mirror file='/a' format='raw'/>", ""),
        ("<mirror file='/a' type='file' job='copy'><source file='/a'/></mirror>", ""),
        ("<mirror type='block' job='active-commit' ready='pivot'><source dev='/dev/a'/></mirror>", ""),
        ("<mirror/>", "/mirror: it lacks its attribute 'job'"),
        ("<mirror job='copy' format='raw'/>", "/mirror: 'format' needs 'file'"),
        ("<mirror job='active-commit' file='/a'/>", "/mirror: an active-commit has no 'file'"),
        ("<mirror job='copy' type='block' file='/a'/>", "/mirror/@file: unknown attribute 'file'"),
    ],
)
def test_mirrors_of_old_and_of_today(text: str, problem: str) -> None:
    if problem:
        assert problem in problems_of(Mirror, text)
    else:
        assert rewritten(Mirror, text)


def test_a_limit_of_all_excludes_those_of_each_way() -> None:
    of_all = "<total_bytes_sec>1</total_bytes_sec>"
    assert rewritten(IoTune, f"<iotune>{of_all}<write_iops_sec>2</write_iops_sec></iotune>")
    assert problems_of(IoTune, f"<iotune>{of_all}<write_bytes_sec>2</write_bytes_sec></iotune>") == [
        "/iotune: <total_bytes_sec> and <write_bytes_sec> can't both be there"
    ]
