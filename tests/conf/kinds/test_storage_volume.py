"""Volumes: their paths, formats and encryption."""

from __future__ import annotations

import pytest

from engine.conf.documents import format, parse, validate
from engine.conf.kinds.storage_volume import VolumeDocument


def volume(target: str) -> str:
    return f"<volume><name>a.img</name><capacity unit='G'>1</capacity><target>{target}</target></volume>"


@pytest.mark.parametrize(
    "path", ["/a/b c", "gluster://host:24007/vol/a", "pool/image", "rbd:pool/a%20b?x#y", "", "C:\\a"]
)
def test_a_path_may_be_a_uri(path: str) -> None:
    read = parse(volume(f"<path>{path}</path>"))
    assert isinstance(read, VolumeDocument)
    assert read.target.path == path
    assert parse(format(read)) == read


@pytest.mark.parametrize("path", ["a%2", "1:2", "http://host:port/", "a[b]", "a#b#%"])
def test_a_path_that_is_none(path: str) -> None:
    assert [problem.xpath for problem in validate(volume(f"<path>{path}</path>"))] == ["/volume/target/path"]


def test_encryption_needs_all_it_is_made_of() -> None:
    cipher = "<cipher name='aes' size='256'/>"
    found = validate(volume(f"<encryption format='luks'>{cipher}</encryption>"))
    assert [str(problem) for problem in found] == [
        "/volume/target/encryption: <cipher> needs <ivgen>",
        "/volume/target/encryption: <cipher> needs <secret>",
    ]
    secret = "<secret type='passphrase' usage='x'/>"
    assert not validate(volume(f"<encryption format='luks'>{secret}{cipher}<ivgen name='plain'/></encryption>"))


def test_numbers_and_flags_are_written_as_they_were() -> None:
    text = volume(
        "<permissions><mode>0600</mode><owner>-1</owner></permissions><nocow/><clusterSize>065536</clusterSize>"
    )
    read = parse(text)
    assert isinstance(read, VolumeDocument)
    assert read.target.cluster_size is not None
    assert read.target.cluster_size.bytes("b") == 65536
    for part in ("<mode>0600</mode>", "<owner>-1</owner>", "<nocow/>", "<clusterSize>065536</clusterSize>"):
        assert part in format(read)
