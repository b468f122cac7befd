"""Machine documents as structs: what is there is read, what is not known is refused, each with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest

from engine.conf.devices import MachineDefinition
from engine.conf.document import parse_document
from engine.conf.reader import Body, Node, Present, Size, Text, read
from engine.errors import ConfigError, UnsupportedConfig

DOCUMENTS = Path(__file__).resolve().parent.parent / "drivers" / "qemu" / "documents"


class Inner(Node, frozen=True, kw_only=True):
    name: str
    path: Annotated[str, Body] = ""


class Outer(Node, frozen=True, kw_only=True):
    kind: Literal["a", "b"] = "a"
    count: int = 0
    on: bool = False
    flag: Annotated[bool, Present] = False
    note: Annotated[str, Text] = ""
    size: Annotated[int, Size, "theSize"] = 0
    inner: Inner | None = None
    several: Annotated[tuple[Inner, ...], "item"] = ()


def outer(text: str) -> Outer:
    return read(Outer, parse_document(text), source="x.xml")


def test_every_kind_of_field() -> None:
    found = outer(
        """<outer kind='b' count='0x10' on='yes'><!-- a comment --><flag/><note> text </note>
<theSize unit='MiB'>2</theSize><inner name='i'> /path </inner><item name='1'/>
<item name='2'/><other:thing xmlns:other='urn:x'/></outer>"""
    )
    assert (found.kind, found.count, found.on, found.flag, found.note, found.size) == (
        "b",
        16,
        True,
        True,
        "text",
        2048,
    )
    assert found.inner == Inner(name="i", path="/path", line=2)
    assert [(item.name, item.line) for item in found.several] == [("1", 2), ("2", 3)]
    assert outer("<outer/>") == Outer(line=1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<outer knid='a'/>", "x.xml:1: <outer knid>: not supported (did you mean 'kind'?)"),
        ("<outer kind='c'/>", "x.xml:1: <outer kind='c'>: not supported (there is a, b)"),
        ("<outer>\n<sound model='x'/></outer>", "x.xml:2: <sound model='x'>: not supported"),
        ("<outer>\n<innre/></outer>", "x.xml:2: <innre>: not supported (did you mean 'inner'?)"),
        ("<outer><inner name='a' more='1'/></outer>", "x.xml:1: <inner more>: not supported"),
    ],
)
def test_what_it_does_not_know_is_refused(text: str, reason: str) -> None:
    with pytest.raises(UnsupportedConfig) as caught:
        outer(text)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<outer count='many'/>", "x.xml:1: <outer count>: 'many' is not a whole number"),
        ("<outer on='1'/>", "x.xml:1: <outer on>: '1' is neither yes nor no"),
        ("<outer>\n<theSize unit='feet'>2</theSize></outer>", "x.xml:2: <theSize>: unknown unit 'feet'"),
        ("<outer>\n<inner/></outer>", "x.xml:2: <inner> lacks its attribute 'name'"),
        ("<outer><inner name='1'/>\n<inner name='2'/></outer>", "x.xml:2: <inner> is there twice"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        outer(text)
    assert not isinstance(caught.value, UnsupportedConfig)
    assert str(caught.value) == reason


def test_a_machine() -> None:
    machine = read(MachineDefinition, parse_document((DOCUMENTS / "pc.xml").read_text().replace("@PORT@", "8080")))
    assert (machine.type, machine.memory, machine.current_memory) == ("qemu", 131072, 98304)
    assert (machine.vcpu.count, machine.os.type.machine) == (4, "pc-i440fx-7.2")
    assert [boot.dev for boot in machine.os.boots] == ["cdrom", "hd", "network"]
    disk = machine.devices.disks[0]
    assert (disk.driver.type, disk.driver.cache, disk.source.file) == ("qcow2", "none", "@FOLDER@/disk, one.qcow2")
    assert disk.address is not None
    assert (disk.address.slot, disk.line) == (7, 27)
    assert machine.devices.interfaces[0].forwards[0].ranges[0].to == 80
    assert machine.cpu is not None
    assert {feature.name: feature.policy for feature in machine.cpu.features} == {"aes": "require", "svm": "disable"}
