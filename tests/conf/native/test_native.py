"""Which formats there are, sets of CPUs, and what a text does not say of a definition."""

from __future__ import annotations

import sys
import time
from types import ModuleType, SimpleNamespace

import pytest

from engine.conf.documents import parse
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.native import FORMATS, from_native, to_native
from engine.conf.native.losses import losses
from engine.conf.spellings import canonical_set
from engine.errors import ConfigError


def domain(inside: str = "") -> DomainDocument:
    document = parse(f"<domain type='xen'>\n<name>a</name>\n<os><type>linux</type></os>\n{inside}</domain>")
    assert isinstance(document, DomainDocument)
    return document


def test_formats() -> None:
    with pytest.raises(ConfigError, match=f"there are {', '.join(FORMATS)}"):
        from_native("xen-sxpr", "")
    with pytest.raises(ConfigError, match="there are vmware-vmx, xen-xl, xen-xm"):
        to_native("lxc-tools", domain())


def test_vmware_is_a_package_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("engine.vmx")
    read = SimpleNamespace(definition=domain(), warnings=())
    package.read_vmx = lambda text, *, source, files: read  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "engine.vmx", package)
    assert from_native("vmware-vmx", "").definition == domain()


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("1,2,5-7", "1-2,5-7"),
        ("7,0-3,^2", "0-1,3,7"),
        ("0-9,^3-5,^0", "1-2,6-9"),
        ("4,^4", None),
        ("0-5, 3 - 8", "0-8"),
        ("0-16383,^5", "0-4,6-16383"),
    ],
)
def test_sets(text: str, normal: str | None) -> None:
    assert canonical_set(text) == normal


@pytest.mark.parametrize("text", ["a", "1-", "-1", "3-1", "0,3 - 1", "1--2", "^", "1-2-3", "٣", "0-16384", "9" * 5000])
def test_what_is_no_set(text: str) -> None:
    with pytest.raises(ConfigError, match=r"no set|ends before"):
        canonical_set(text)


def test_the_time_for_a_set_is_linear() -> None:
    started = time.perf_counter()
    assert canonical_set(",".join(f"{number % 16384},^{number % 16384}" for number in range(80_000))) is None
    assert time.perf_counter() - started < 3


def told(before: str, after: str) -> list[tuple[int, str]]:
    return [(each.line, each.xpath) for each in losses(domain(before), domain(after), "/domain", "it")]


def test_what_is_gone_or_changed_is_told_and_what_is_new_is_not() -> None:
    before = "<title>t</title>\n<memory unit='MiB'>1</memory>\n<on_crash>destroy</on_crash>\n"
    after = "<memory>1024</memory><on_crash>restart</on_crash><on_reboot>restart</on_reboot>"
    assert told(before, after) == [(1, "/domain/title"), (1, "/domain/on_crash")]


def test_of_lists_those_that_are_left_are_compared() -> None:
    disk = "<disk type='file'><target dev='xvdb'/></disk>"
    disks = f"<devices>{{}}<disk type='file'>\n<target dev='xvda'/></disk>{disk}</devices>"
    other = f"<devices>{disk}</devices>"
    assert told(disks.format("<emulator>/e</emulator>"), other) == [
        (4, "/domain/devices/emulator"),
        (4, "/domain/devices/disk[1]"),
    ]
    assert told(other, disks.format("")) == []


def test_passwords_are_not_told() -> None:
    inside = "<devices><graphics type='vnc' passwd='{}'/></devices>"
    before, after = (domain(inside.format(word)) for word in ("secret", "hidden"))
    (problem,) = losses(before, after, "/domain", "it")
    assert problem.xpath == "/domain/devices/graphics[1]/@passwd"
    assert "secret" not in f"{problem}{problem.value}"


@pytest.mark.parametrize("format", ["vmware-vmx", "xen-xl", "xen-xm"])
def test_only_guests_are_written(format: str) -> None:
    with pytest.raises(ConfigError, match="<secret> is no guest"):
        to_native(format, parse("<secret ephemeral='no'/>"))  # type: ignore[arg-type]
