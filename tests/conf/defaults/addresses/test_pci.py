"""PCI: fixed places, the order of the others, and the controllers that are added."""

from __future__ import annotations

import pytest
from support.addressed import domain, drives, places, refused, shown

from engine.conf.defaults.addresses import Abilities, assign_addresses
from engine.conf.documents import format, parse

CARD = "<interface type='user'><model type='e1000'/></interface>"
FAST_CARD = "<interface type='user'><model type='e1000e'/></interface>"
VIRTIO_CARD = "<interface type='user'><model type='virtio'/></interface>"
BALLOON = "<memballoon model='virtio'/>"
VGA = "<video><model type='vga'/></video>"
OLD = Abilities(pci_host=False, root_port=False, pcie_bridge=False, modern_virtio=False, zpci=False)


def buses(devices: str, **options: object) -> list[tuple[int, str, str]]:
    """The PCI controllers: index, model, address."""
    machine, arch = str(options.pop("machine", "pc")), str(options.pop("arch", "x86_64"))
    done = assign_addresses(domain(devices, machine=machine, arch=arch), **options)  # type: ignore[arg-type]
    assert done.devices is not None
    both = zip(done.devices.controllers, shown(done, "controllers"), strict=True)
    return [(int(each.index or 0), str(each.model), at) for each, at in both if each.type_ == "pci"]


# ---------------------------------------------------------------------------- i440FX


def test_what_is_soldered_to_an_i440fx_is_where_it_is() -> None:
    devices = f"<controller type='usb' index='0'/><controller type='ide' index='0'/>{BALLOON}{VGA}{VGA}"
    done = assign_addresses(domain(devices))
    assert shown(done, "controllers") == ["00:01.2", "00:01.1", ""]
    assert shown(done, "videos") == ["00:02.0", "00:04.0"]
    assert shown(done, "memballoon") == ["00:03.0"]


def test_the_first_graphics_card_gives_way_to_who_is_in_its_slot() -> None:
    taken = "<memballoon model='virtio'><address type='pci' slot='2'/></memballoon>"
    assert places(VGA + taken, "videos") == ["00:03.0"]
    assert places("<video><model type='none'/></video>" + BALLOON, "memballoon") == ["00:02.0"]


def test_kinds_of_devices_have_their_turns() -> None:
    devices = (
        "<rng model='virtio'><backend model='random'/></rng><sound model='ich6'/>"
        f"{BALLOON}{drives('vda', bus='virtio')}{CARD}<controller type='scsi' index='0' model='virtio-scsi'/>"
        "<filesystem><source dir='/a'/><target dir='a'/></filesystem><watchdog model='i6300esb'/>"
    )
    done = assign_addresses(domain(devices))
    kinds = ("filesystems", "interfaces", "sounds", "controllers", "disks", "memballoon", "rngs", "watchdog")
    assert [shown(done, kind)[0] for kind in kinds] == [f"00:{slot:02x}.0" for slot in range(2, 10)]


def test_a_bridge_is_added_when_the_bus_is_full_and_one_slot_before_that() -> None:
    assert buses(CARD * 29) == [(0, "pci-root", "")]
    assert buses(CARD * 30) == [(0, "pci-root", ""), (1, "pci-bridge", "00:02.0")]
    assert places(CARD * 31, "interfaces")[-3:] == ["00:1f.0", "01:01.0", "01:02.0"]


def test_buses_up_to_one_that_is_named_are_added() -> None:
    there = "<memballoon model='virtio'><address type='pci' bus='3' slot='6'/></memballoon>"
    assert buses(there) == [
        (0, "pci-root", ""),
        (1, "pci-bridge", "00:02.0"),
        (2, "pci-bridge", "00:03.0"),
        (3, "pci-bridge", "00:04.0"),
    ]


def test_a_usb2_controller_and_its_companions_share_a_slot() -> None:
    models = ("ich9-ehci1", "ich9-uhci1", "ich9-uhci2", "ich9-uhci3")
    devices = "\n".join(f"<controller type='usb' index='0' model='{model}'/>" for model in models)
    assert places(devices, "controllers")[:4] == ["00:02.7", "00:02.0+", "00:02.1", "00:02.2"]
    assert places(devices, "controllers", machine="q35")[:4] == ["00:1d.7", "00:1d.0+", "00:1d.1", "00:1d.2"]


def test_expander_buses_have_numbers_of_their_own() -> None:
    devices = "<controller type='pci' index='1' model='pci-expander-bus'/>" * 1 + (
        "<controller type='pci' index='2' model='pci-expander-bus'/>"
    )
    done = assign_addresses(domain(devices))
    assert done.devices is not None
    found = {each.index: each.target for each in done.devices.controllers if each.type_ == "pci"}
    assert [found[1] and found[1].bus_nr, found[2] and found[2].bus_nr] == [254, 252]


# ---------------------------------------------------------------------------- PCI Express


def test_each_express_device_has_a_port_and_one_is_spare() -> None:
    devices = f"<controller type='sata' index='0'/>{VGA}{VIRTIO_CARD}{FAST_CARD}{BALLOON}"
    assert buses(devices, machine="q35") == [
        (0, "pcie-root", ""),
        (1, "pcie-root-port", "00:02.0+"),
        (2, "pcie-root-port", "00:02.1"),
        (3, "pcie-root-port", "00:02.2"),
        (4, "pcie-root-port", "00:02.3"),
    ]
    done = assign_addresses(domain(devices, machine="q35"))
    assert shown(done, "interfaces") == ["01:00.0", "02:00.0"]
    assert shown(done, "memballoon") == ["03:00.0"]
    assert shown(done, "videos") == ["00:01.0"]
    assert shown(done, "controllers")[0] == "00:1f.2"


def test_there_is_no_spare_port_where_the_user_has_planned_the_ports() -> None:
    devices = "<controller type='pci' index='1' model='pcie-root-port'/>"
    assert len(buses(devices + VIRTIO_CARD * 2, machine="q35")) == 3
    assert buses("", machine="q35") == [(0, "pcie-root", "")]


def test_conventional_devices_are_behind_bridges() -> None:
    assert buses(CARD, machine="q35") == [
        (0, "pcie-root", ""),
        (1, "pcie-root-port", "00:01.0+"),
        (2, "pcie-to-pci-bridge", "01:00.0"),
        (3, "pcie-root-port", "00:01.1"),
    ]
    assert places(CARD * 2, "interfaces", machine="q35") == ["02:01.0", "02:02.0"]


def test_of_old_there_were_two_bridges() -> None:
    assert buses(VIRTIO_CARD, machine="q35", abilities=OLD) == [
        (0, "pcie-root", ""),
        (1, "dmi-to-pci-bridge", "00:1e.0"),
        (2, "pci-bridge", "01:00.0"),
        (3, "pcie-root-port", "00:01.0"),
    ]
    assert places(VIRTIO_CARD, "interfaces", machine="q35", abilities=OLD) == ["02:01.0"]


def test_transitional_virtio_is_on_pci() -> None:
    disk = "<disk model='virtio-{}transitional'><target dev='vda' bus='virtio'/></disk>"
    assert places(disk.format(""), "disks", machine="q35") == ["02:01.0"]
    assert places(disk.format("non-"), "disks", machine="q35") == ["01:00.0"]


def test_switches() -> None:
    kinds = ("root-port", "switch-upstream-port", "switch-downstream-port", "switch-downstream-port")
    devices = "".join(f"<controller type='pci' index='{n}' model='pcie-{kind}'/>" for n, kind in enumerate(kinds, 1))
    assert [at for _, _, at in buses(devices, machine="q35")][:4] == ["00:01.0", "01:00.0", "02:00.0", "02:01.0"]
    assert places(devices + FAST_CARD, "interfaces", machine="q35") == ["03:00.0"]


def test_what_the_guest_sees_of_controllers() -> None:
    text = format(assign_addresses(domain(VIRTIO_CARD, machine="q35")))
    assert '<model name="pcie-root-port"/>' in text
    assert '<target chassis="2" port="0x9"/>' in text
    assert "ioh3420" in format(assign_addresses(domain(FAST_CARD, machine="q35"), abilities=OLD))


def test_sound_of_the_chipset_is_where_it_is_on_boards() -> None:
    assert places("<sound model='ich9'/><sound model='ich9'/>", "sounds", machine="q35") == ["00:1b.0", "02:01.0"]


# ---------------------------------------------------------------------------- other boards


def test_a_virt_board_has_ports_or_virtio_mmio() -> None:
    for arch in ("aarch64", "riscv64"):
        assert places(BALLOON, "memballoon", machine="virt", arch=arch) == ["01:00.0"]
        assert places(BALLOON, "memballoon", machine="virt", arch=arch, abilities=OLD) == ["virtio-mmio"]
    mixed = drives("vda", bus="virtio") + "<memballoon model='virtio'><address type='virtio-mmio'/></memballoon>"
    assert places(mixed, "disks", machine="virt", arch="aarch64") == ["virtio-mmio"]
    asked = "<memballoon model='virtio'><address type='pci'/></memballoon>"
    assert places(asked, "memballoon", machine="virt", arch="aarch64") == ["01:00.0"]


def host_device(slot: int, function: int = 0) -> str:
    return (
        "<hostdev mode='subsystem' type='pci'><source><address domain='1' bus='1' "
        f"slot='{slot}' function='{function}'/></source></hostdev>"
    )


def test_devices_of_the_host_have_root_buses_of_their_own_on_pseries() -> None:
    devices = f"{host_device(1)}{host_device(2)}{host_device(1, 1)}{BALLOON}"
    found = assign_addresses(domain(devices, machine="pseries", arch="ppc64"))
    assert shown(found, "hostdevs") == ["01:01.0", "02:01.0", "01:02.0"]
    assert shown(found, "memballoon") == ["00:01.0"]
    together = assign_addresses(domain(devices, machine="pseries", arch="ppc64"), groups=lambda _: 7)
    assert shown(together, "hostdevs") == ["01:01.0", "01:02.0", "01:03.0"]
    assert found.devices is not None
    roots = [each for each in found.devices.controllers if each.type_ == "pci"]
    assert [(each.model, each.target and each.target.index) for each in roots] == [
        ("pci-root", 0),
        ("pci-root", 1),
        ("pci-root", 2),
    ]
    assert places(host_device(1) + host_device(2), "hostdevs") == ["00:02.0", "00:03.0"]


# ---------------------------------------------------------------------------- what the user says


def test_what_is_partly_said_is_completed() -> None:
    devices = "<memballoon model='virtio'><address type='pci' slot='0x07'/></memballoon>"
    done = assign_addresses(domain(devices))
    assert '<address type="pci" domain="0x0000" bus="0x00" slot="0x07" function="0x0"/>' in format(done)


def test_nothing_changes_the_second_time() -> None:
    for machine in ("pc", "q35"):
        done = assign_addresses(domain(CARD * 40 + FAST_CARD * 3 + VGA * 2 + BALLOON, machine=machine))
        assert assign_addresses(done) == done
        assert parse(format(done)) == done


@pytest.mark.parametrize(
    ("devices", "machine", "reason"),
    [
        (
            "<memballoon model='virtio'><address type='pci' slot='5'/></memballoon>\n"
            "<rng model='virtio'><backend model='random'/><address type='pci' slot='5'/></rng>",
            "pc",
            "the PCI address 0000:00:05.0 is taken",
        ),
        (
            "\n<controller type='ide' index='0'><address type='pci' slot='5'/></controller>",
            "pc",
            "the first IDE controller is at the PCI address 0000:00:01.1 and nowhere else",
        ),
        (
            "\n<memballoon model='virtio'><address type='pci' slot='1' function='4'/></memballoon>",
            "pc",
            "the PCI address 0000:00:01.4 is taken by the chipset",
        ),
        (
            "\n<memballoon model='virtio'><address type='pci' slot='0x1f'/></memballoon>",
            "q35",
            "the PCI address 0000:00:1f.0 is taken by the chipset",
        ),
        (
            "\n<controller type='pci' index='1' model='pcie-root-port'><address type='pci' slot='1'/></controller>",
            "pc",
            "PCI bus 0, a pci-root, does not take a pcie-root-port",
        ),
        (
            "<controller type='pci' index='1' model='pcie-root-port'/>\n"
            "<memballoon model='virtio'><address type='pci' bus='1' slot='3'/></memballoon>",
            "q35",
            "PCI bus 1, a pcie-root-port, has no slot 3, but 0 alone",
        ),
        (
            "<controller type='pci' index='1' model='pci-bridge'/>\n"
            "<controller type='pci' index='1' model='pci-bridge'/>",
            "pc",
            "there are two PCI controllers with the index 1",
        ),
        (
            "\n<controller type='pci' index='0' model='pci-root'/>",
            "q35",
            "the PCI controller with index 0 is a pcie-root in this machine",
        ),
        (
            "\n<controller type='pci' index='1' model='pcie-switch-downstream-port'/>",
            "q35",
            "there is no PCI slot left for a pcie-switch-downstream-port, and none can be added",
        ),
    ],
)  # fmt: skip
def test_what_can_not_be_is_refused_at_its_line(devices: str, machine: str, reason: str) -> None:
    assert refused(devices, machine=machine) == (reason, 4)


def test_guests_of_others_stay_as_they_are() -> None:
    text = "<domain type='lxc'><name>a</name><os><type>exe</type></os><devices/></domain>"
    definition = parse(text)
    assert assign_addresses(definition) is definition  # type: ignore[arg-type]
