"""CPUs of guests and hosts, which have one kind of document."""

from __future__ import annotations

from engine.conf.documents import format, parse, validate
from engine.conf.kinds.cpu import GuestCpu, HostCpu


def problems(text: str) -> list[str]:
    return [str(problem) for problem in validate(text)]


def test_a_host_has_an_architecture_and_a_guest_has_none() -> None:
    host = parse("<cpu><arch>x86_64</arch><model>Skylake</model><features><vmx/></features><feature name='ss'/></cpu>")
    assert isinstance(host, HostCpu)
    assert host.model is not None
    assert (host.arch, host.model.name) == ("x86_64", "Skylake")
    assert host.extensions is not None
    assert host.extensions.vmx
    assert [feature.name for feature in host.features] == ["ss"]
    guest = parse("<cpu mode='custom' check='none'><model fallback='forbid'>Skylake</model></cpu>")
    assert isinstance(guest, GuestCpu)
    assert guest.model is not None
    assert (guest.check_, guest.model.name, guest.model.fallback) == ("none", "Skylake", "forbid")
    assert isinstance(parse("<cpu/>"), GuestCpu)
    for cpu in (host, guest):
        assert parse(format(cpu)) == cpu


def test_problems_are_those_of_the_shape_that_is_meant() -> None:
    assert problems("<cpu><arch>x86_64</arch><feature name='a' policy='force'/></cpu>") == [
        "/cpu/feature/@policy: unknown attribute 'policy'"
    ]
    assert problems("<cpu><feature name='a'/></cpu>") == ["/cpu/feature: it lacks its attribute 'policy'"]
    (told,) = problems("<cpu><arch>x86</arch></cpu>")
    assert told.startswith("/cpu/arch: 'x86' is none of x86_64, ")
    assert told.endswith("(did you mean 'x86_64'?)")


def test_cells_know_their_distances_caches_and_connections() -> None:
    cpu = parse(
        "<cpu><numa><cell id='0' cpus='0-3' memory='1' unit='GiB'><distances><sibling id='0' value='10'/></distances>"
        "<cache level='1' associativity='direct' policy='none'><line value='8' unit='B'/>"
        "<size value='10' unit='KiB'/></cache></cell><interconnects>"
        "<bandwidth initiator='0' target='0' type='access' value='5' unit='KiB'/>"
        "<latency initiator='0' target='0' cache='1' type='read' value='5'/></interconnects></numa></cpu>"
    )
    assert isinstance(cpu, GuestCpu)
    assert cpu.numa is not None
    (cell,) = cpu.numa.cells
    assert cell.caches[0].line_.value == 8
    assert cell.caches[0].line == 1
    assert cpu.numa.interconnects is not None
    assert cpu.numa.interconnects.latencies[0].cache == 1
    assert parse(format(cpu)) == cpu
    wrong = "<cpu><numa><cell memory='1'><distances><sibling id='0' value='9'/></distances></cell></numa></cpu>"
    assert problems(wrong) == ["/cpu/numa/cell/distances/sibling/@value: '9' is not a whole number from 10 to 255"]
