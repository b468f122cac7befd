"""Pools of each type, with their sources."""

from __future__ import annotations

import pytest

from engine.conf.documents import format, parse, validate
from engine.conf.kinds.storage_common import FcHostAdapter, Permissions, ScsiHostAdapter
from engine.conf.kinds.storage_pool import DirPool, FsPool, NetfsPool, RbdPool, ScsiPool, Target
from engine.conf.kinds.storage_pool_sources import NfsSource, ShareSource


def pool(type_: str, source: str, rest: str = "<target><path>/pools/a</path></target>") -> str:
    return f"<pool type='{type_}'><name>a</name><source>{source}</source>{rest}</pool>"


def wrong(text: str) -> list[str]:
    return [str(problem) for problem in validate(text)]


def test_the_type_says_which_pool_it_is() -> None:
    nfs = parse(pool("netfs", "<host name='nas'/><dir path='/a'/>"))
    assert isinstance(nfs, NetfsPool)
    assert isinstance(nfs.source_, NfsSource)
    share = parse(pool("netfs", "<host name='nas'/><dir path='a'/><format type='cifs'/>"))
    assert isinstance(share, NetfsPool)
    assert isinstance(share.source_, ShareSource)
    scsi = parse(pool("scsi", "<adapter name='scsi_host1'/>"))
    assert isinstance(scsi, ScsiPool)
    assert isinstance(scsi.source_.adapter, ScsiHostAdapter)
    fc = parse(pool("scsi", "<adapter type='fc_host' wwnn='20000000c9831b4b' wwpn='10000000c9831b4b'/>"))
    assert isinstance(fc, ScsiPool)
    assert isinstance(fc.source_.adapter, FcHostAdapter)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (pool("dri", ""), "/pool/@type: 'dri' is none of dir, fs,"),
        (pool("netfs", "<host name='nas'/><dir path='a'/>"), "/pool/source/dir/@path: 'a' is not an absolute path"),
        (pool("scsi", "<adapter/>"), "/pool/source/adapter: it lacks 'name' or <parentaddr>"),
        (pool("rbd", "<name>x</name>", ""), "/pool/source: it lacks its element <host>"),
        (pool("gluster", "<host name='h'/><name>v</name>"), "/pool/target: unknown <target>"),
        (pool("mpath", "<name>x</name>"), "/pool/source/name: unknown <name>"),
    ],
)
def test_what_a_type_does_not_have_is_refused(text: str, problem: str) -> None:
    assert [each for each in wrong(text) if each.startswith(problem)]


def test_options_have_namespaces() -> None:
    fs = pool("fs", "<device path='/dev/sda1'/>").replace(
        "</pool>",
        "<f:mount_opts xmlns:f='http://libvirt.org/schemas/storagepool/fs/1.0'>"
        "<f:option name='ro'/></f:mount_opts></pool>",
    )
    read = parse(fs)
    assert isinstance(read, FsPool)
    assert read.mount_opts is not None
    assert [option.name for option in read.mount_opts.options] == ["ro"]
    assert parse(format(read)) == read
    rbd = pool("rbd", "<name>x</name><host name='mon'/>", "").replace(
        "</pool>",
        "<rbd:config_opts xmlns:rbd='http://libvirt.org/schemas/storagepool/rbd/1.0'>"
        "<rbd:option name='a' value='1'/></rbd:config_opts></pool>",
    )
    assert isinstance(parse(rbd), RbdPool)
    assert wrong(fs.replace("'fs'", "'dir'"))
    assert wrong(rbd.replace(" value='1'", ""))


def test_a_pool_made_here_is_one_that_is_read() -> None:
    made = DirPool(type_="dir", name="a", target=Target(path="/a", permissions=Permissions(mode=0o744, owner=-1)))
    text = format(made)
    assert "<mode>0744</mode>" in text
    assert parse(text) == made
    assert (parse(text) != made) is False
