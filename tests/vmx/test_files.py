"""Names of files, in datastores and elsewhere."""

from __future__ import annotations

import pytest

from engine.errors import ConfigError
from engine.vmx import FileNames

FILES = FileNames(datastore="disks", directory="box", datastores={"4a-77": "tapes", "gone": None})


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("a.vmdk", "[disks] box/a.vmdk"),
        ("sub/a.vmdk", "[disks] box/sub/a.vmdk"),
        ("/vmfs/volumes/4a-77/b/c d.iso", "[tapes] b/c d.iso"),
        ("/vmfs/volumes/other/c.iso", "[other] c.iso"),
        ("/vmfs/volumes/gone/c.iso", None),
        ("/vmimages/linux.iso", "/vmimages/linux.iso"),
        ("C:\\disks\\a.vmdk", "C:\\disks\\a.vmdk"),
        ("[tapes] c.iso", "[tapes] c.iso"),
    ],
)
def test_names_of_a_vmx_become_those_of_a_domain(name: str, called: str | None) -> None:
    assert FILES.from_vmx(name) == called


def test_beside_a_vmx_that_is_in_no_datastore() -> None:
    assert FileNames(directory="/home/me/box").from_vmx("a.vmdk") == "/home/me/box/a.vmdk"
    assert FileNames().from_vmx("a.vmdk") == "a.vmdk"


@pytest.mark.parametrize(
    ("folder", "called"),
    [
        ("/vmfs/volumes/disks/box/old", "[disks] box/old/a.vmdk"),
        ("/vmfs/volumes/disks", "[disks] a.vmdk"),
        ("/home/me", "/home/me/a.vmdk"),
        ("/", "/a.vmdk"),
    ],
)
def test_beside_a_vmx_in_a_folder(folder: str, called: str) -> None:
    assert FileNames.in_folder(folder).from_vmx("a.vmdk") == called


def test_a_folder_whose_name_is_no_text_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"its folder holds U\+DCFF, which no document can"):
        FileNames.in_folder("/home/\udcff")


@pytest.mark.parametrize(
    ("name", "written"),
    [("[disks] box/a.vmdk", "/vmfs/volumes/disks/box/a.vmdk"), ("/data/a.vmdk", "/data/a.vmdk"), ("a[1].x", "a[1].x")],
)
def test_names_of_a_domain_are_whole_paths_in_a_vmx(name: str, written: str) -> None:
    assert FILES.to_vmx(name) == written
