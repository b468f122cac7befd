"""Conversions and defaults come out as libvirt's published test data has them; the scripts beside this tell more."""

from __future__ import annotations

import pytest
from interop import addresses, complete, native, vmx
from interop.corpus import corpus

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("folder", "ending", "other", "convert"),
    [("vmx2xmldata", ".vmx", ".xml", vmx.from_vmx), ("xml2vmxdata", ".xml", ".vmx", vmx.to_vmx)],
)
def test_vmware(folder: str, ending: str, other: str, convert: object) -> None:
    assert callable(convert)
    files = [file for file in (corpus() / "tests" / folder).glob(f"*{ending}") if file.with_suffix(other).exists()]
    assert len(files) >= 30
    assert {file.name: found for file in files if (found := convert(file)[0])} == {}


@pytest.mark.parametrize("form", ["xen-xl", "xen-xm", "lxc-tools"])
def test_native_to_domains(form: str) -> None:
    found = {file.name: native.read_one(form, file)[0] for file in native.cases(form)}
    assert len(found) >= 15
    wrong = {name: why for name, why in found.items() if why and not native._only_written(form, name)}
    assert wrong == {}


@pytest.mark.parametrize("form", ["xen-xl", "xen-xm"])
def test_domains_to_native(form: str) -> None:
    files = [file for file in native.cases(form) if native.expected_document(file)]
    wrong = {file.name: why for file in files if (why := native.write_one(form, file)[0]) not in ("", "=other words")}
    assert wrong == {}


def test_complete() -> None:
    """Some outputs depend on the host that libvirt's tests make up: sound from the environment, USB, interrupts."""
    cases = {name: complete.case(defined, shown, bare=False)[1] for name, defined, shown in complete.pairs()}
    different = [name for name, found in cases.items() if found]
    assert len(cases) > 200
    assert len(different) <= 0.03 * len(cases), different


def test_addresses() -> None:
    wrong = {after.name: found for before, after in addresses.pairs() if (found := addresses.try_one(before, after)[2])}
    assert wrong == {}
