"""Memory, CPUs, the clock, features and firmware."""

from __future__ import annotations

import pytest
from lxml import etree
from support.completing import canonical, completed, shown

from engine.conf.defaults.capabilities import Capabilities, present_qemu
from engine.conf.defaults.complete import complete
from engine.conf.documents import format, parse
from engine.conf.kinds.domain.document import DomainDocument
from engine.errors import ConfigError

CELLS = "<cell id='1' cpus='2' memory='1' unit='GiB'/><cell id='0' cpus='0' memory='512' unit='MiB'/>"
NUMA = f"<cpu><numa>{CELLS}</numa></cpu>"


def test_memory_that_is_left_out_is_that_of_the_cells() -> None:
    definition = parse(f"<domain type='qemu'><name>a</name><vcpu>4</vcpu>{NUMA}</domain>")
    assert isinstance(definition, DomainDocument)
    done = complete(definition, addresses=False)
    assert done.memory is not None and done.memory.value == 1572864
    assert done.current_memory is not None and done.current_memory.value == 1572864


def test_cells_are_in_order_and_the_first_has_the_cpus_of_none() -> None:
    root = completed(body=f"<vcpu>4</vcpu>{NUMA}")
    assert shown(root, "cpu/numa/cell") == [
        canonical("<cell id='0' cpus='0-1,3' memory='524288' unit='KiB'/>"),
        canonical("<cell id='1' cpus='2' memory='1048576' unit='KiB'/>"),
    ]


def test_a_distance_holds_both_ways() -> None:
    siblings = "<distances><sibling id='1' value='21'/></distances>"
    cells = f"<cell id='0' cpus='0' memory='1'>{siblings}</cell><cell id='1' memory='1'/>"
    root = completed(body=f"<cpu><numa>{cells}</numa></cpu>")
    found = [(s.get("id"), s.get("value")) for s in root.findall("cpu/numa/cell/distances/sibling")]
    assert found == [("0", "10"), ("1", "21"), ("0", "21"), ("1", "10")]


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        ("", "1048576"),
        ("<currentMemory>2000000</currentMemory>", "1048576"),
        ("<currentMemory unit='MiB'>1</currentMemory>", "1024"),
    ],
)
def test_a_guest_begins_with_all_of_its_memory(current: str, expected: str) -> None:
    assert completed(body=current).findtext("currentMemory") == expected


def test_limits_that_are_none() -> None:
    body = (
        "<memtune><hard_limit unit='KiB'>9007199254740991</hard_limit><soft_limit unit='MiB'>1</soft_limit></memtune>"
    )
    assert shown(completed(body=body), "memtune") == [
        canonical("<memtune><soft_limit unit='KiB'>1024</soft_limit></memtune>")
    ]


@pytest.mark.parametrize(
    ("body", "vcpu", "numatune"),
    [
        ("<vcpu placement='auto' cpuset='0'>2</vcpu>", "<vcpu placement='auto'>2</vcpu>",
         "<memory mode='strict' placement='auto'/>"),
        ("<vcpu>2</vcpu><numatune><memory nodeset='1,0'/></numatune>", "<vcpu placement='static'>2</vcpu>",
         "<memory mode='strict' nodeset='0-1'/>"),
        ("<vcpu>2</vcpu><numatune><memory placement='auto'/></numatune>", "<vcpu placement='auto'>2</vcpu>",
         "<memory mode='strict' placement='auto'/>"),
    ],
)  # fmt: skip
def test_where_cpus_and_memory_are(body: str, vcpu: str, numatune: str) -> None:
    root = completed(body=body)
    assert shown(root, "vcpu") == [canonical(vcpu)]
    assert shown(root, "numatune/memory") == [canonical(numatune)]


def test_the_state_of_each_cpu() -> None:
    vcpus = "<vcpus><vcpu id='0' enabled='yes'/><vcpu id='2' enabled='no' hotpluggable='yes'/></vcpus>"
    root = completed(body=f"<vcpu>3</vcpu>{vcpus}<cputune><vcpupin vcpu='9' cpuset='0'/></cputune>")
    assert root.find("vcpu").get("current") == "1"
    states = [(s.get("id"), s.get("enabled"), s.get("hotpluggable")) for s in root.findall("vcpus/vcpu")]
    assert states == [("0", "yes", "no"), ("1", "no", "yes"), ("2", "no", "yes")]
    assert root.find("cputune") is None


def test_threads_that_are_not_listed() -> None:
    body = "<iothreads>4</iothreads><iothreadids><iothread id='1'/><iothread id='7'/></iothreadids>"
    root = completed(body=body)
    assert [thread.get("id") for thread in root.findall("iothreadids/iothread")] == ["1", "7", "2", "3"]
    assert completed(body="<iothreads>4294967295</iothreads>").findtext("iothreads") == "4294967295"
    with pytest.raises(ConfigError, match="too many"):
        completed(body=body.replace("4", "4294967295", 1))


def test_schedulers_are_told_thread_by_thread() -> None:
    body = "<vcpu>3</vcpu><cputune><vcpusched vcpus='2' scheduler='batch'/>"
    root = completed(body=f"{body}<vcpusched vcpus='0-1' scheduler='rr' priority='1'/></cputune>")
    assert [(sched.get("scheduler"), sched.get("vcpus")) for sched in root.findall("cputune/vcpusched")] == [
        ("rr", "0"), ("rr", "1"), ("batch", "2")
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="twice"):
        completed(body=f"{body}<vcpusched vcpus='0-5' scheduler='rr' priority='1'/></cputune>")


def test_caches_are_for_cpus_that_there_are() -> None:
    cache = "<cache id='0' level='3' type='both' size='3072' unit='KiB'/>"
    tunes = f"<cachetune vcpus='0-9'>{cache}</cachetune><cachetune vcpus='5'>{cache}</cachetune>"
    root = completed(body=f"<vcpu>2</vcpu><cputune>{tunes}</cputune>")
    assert shown(root, "cputune/cachetune") == [
        canonical("<cachetune vcpus='0-1'><cache id='0' level='3' type='both' size='3' unit='MiB'/></cachetune>")
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "<clock offset='utc'/>"),
        ("<clock offset='utc' adjustment='3600'/>", "<clock offset='variable' adjustment='3600' basis='utc'/>"),
        ("<clock offset='localtime' adjustment='reset'/>", "<clock offset='localtime' adjustment='reset'/>"),
        ("<clock offset='variable'/>", "<clock offset='variable' adjustment='0' basis='utc'/>"),
    ],
)
def test_the_clock(given: str, expected: str) -> None:
    assert shown(completed(body=given), "clock") == [canonical(expected)]


@pytest.mark.parametrize(
    ("given", "type_", "expected"),
    [
        ("<cpu mode='host-passthrough'/>", "kvm", "<cpu mode='host-passthrough' check='none' migratable='on'/>"),
        ("<cpu mode='host-model'><model fallback='allow'/></cpu>", "kvm", "<cpu mode='host-model' check='partial'/>"),
        ("<cpu mode='host-model'><model fallback='forbid'/></cpu>", "kvm",
         "<cpu mode='host-model' check='partial'><model fallback='forbid'/></cpu>"),
        ("<cpu><model>Skylake-Client</model></cpu>", "kvm",
         "<cpu mode='custom' match='exact' check='partial'><model fallback='allow'>Skylake-Client</model></cpu>"),
        ("<cpu match='strict'><model>Skylake-Client</model></cpu>", "qemu",
         "<cpu mode='custom' match='strict' check='none'><model fallback='allow'>Skylake-Client</model></cpu>"),
        ("<cpu><topology sockets='1' cores='1' threads='1'/></cpu>", "qemu",
         "<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model>"
         "<topology sockets='1' dies='1' cores='1' threads='1'/></cpu>"),
        ("", "qemu", "<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model></cpu>"),
    ],
)  # fmt: skip
def test_the_cpu(given: str, type_: str, expected: str) -> None:
    assert shown(completed(body=given, type_=type_, capabilities=present_qemu()), "cpu") == [canonical(expected)]


def test_the_cpu_where_nothing_is_known() -> None:
    assert completed(body="<cpu/>").find("cpu") is None
    passthrough = completed(body="<cpu mode='host-passthrough'/>").find("cpu")
    assert passthrough.get("migratable") == "off"


def test_the_cpu_of_s390() -> None:
    options = {"arch": "s390x", "machine": "s390-ccw-virtio", "capabilities": present_qemu()}
    assert completed(type_="kvm", **options).find("cpu").get("mode") == "host-model"
    assert completed(type_="qemu", **options).findtext("cpu/model") == "qemu"


def test_features() -> None:
    given = "<pmu/><hyperv><relaxed state='on'/></hyperv><smm><tseg>48</tseg></smm><apic/>"
    given = given.replace("<smm>", "<smm state='on'>")
    expected = "<hyperv mode='custom'><relaxed state='on'/></hyperv><pmu state='on'/>"
    expected = f"<apic/>{expected}<smm state='on'><tseg unit='MiB'>48</tseg></smm>"
    root = completed(body=f"<features>{given}</features>")
    assert shown(root, "features") == [canonical(f"<features>{expected}</features>")]


def test_the_interrupt_controller_of_arm() -> None:
    assert completed(arch="aarch64", machine="virt").find("features/gic").get("version") == "2"
    known = Capabilities(gic="3")
    assert completed(arch="aarch64", machine="virt", capabilities=known).find("features/gic").get("version") == "3"
    assert completed().find("features") is None


def test_what_is_booted() -> None:
    assert completed().find("os/boot").get("dev") == "hd"
    disk = "<disk><target dev='vda'/><boot order='1'/></disk>"
    assert completed(disk).find("os/boot") is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("<loader>/bios</loader>", "<loader type='rom'>/bios</loader>"),
        ("<loader readonly='yes' type='pflash'>/code</loader>",
         "<loader readonly='yes' type='pflash'>/code</loader><nvram>/var/lib/libvirt/qemu/nvram/web_VARS.fd</nvram>"),
        ("<loader readonly='yes' type='pflash' stateless='yes'>/code</loader>",
         "<loader readonly='yes' type='pflash' stateless='yes'>/code</loader>"),
        ("<loader readonly='yes' type='pflash'>/code</loader><nvram>/vars</nvram>",
         "<loader readonly='yes' type='pflash'>/code</loader><nvram>/vars</nvram>"),
    ],
)  # fmt: skip
def test_firmware(given: str, expected: str) -> None:
    text = f"<domain type='qemu'><name>web</name><os><type arch='x86_64' machine='q35'>hvm</type>{given}</os></domain>"
    definition = parse(text)
    assert isinstance(definition, DomainDocument)
    root = complete(definition, addresses=False)
    os = etree.fromstring(format(root)).find("os")
    inside = [part for tag in ("loader", "nvram") for part in shown(os, tag)]
    assert "".join(inside) == canonical(f"<a>{expected}</a>")[3:-4]


def test_a_domain_of_another_hypervisor_is_as_it_was() -> None:
    definition = parse("<domain type='lxc'><name>a</name><os><type>exe</type></os></domain>")
    assert isinstance(definition, DomainDocument)
    assert complete(definition) is definition


def test_metadata_of_a_namespace_is_there_once() -> None:
    given = "<metadata><a:x xmlns:a='urn:a'>1</a:x><b/><c:y xmlns:c='urn:a'/></metadata>"
    assert [child.text for child in completed(body=given).find("metadata")] == ["1"]
