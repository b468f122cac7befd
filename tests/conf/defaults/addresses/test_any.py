"""Whatever devices there are: each that needs a place gets one, none has two, and only ConfigError is raised."""

from __future__ import annotations

import time
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from support.addressed import domain, numbered

from engine.conf.defaults.addresses import Abilities, assign_addresses
from engine.conf.kinds.domain.document import DomainDocument
from engine.errors import ConfigError

NUMBER = st.integers(0, 9)
ADDRESS = st.one_of(
    st.just(""),
    st.builds("<address type='pci' bus='{}' slot='{}'/>".format, st.integers(0, 5), st.integers(0, 31)),
    st.builds("<address type='pci' slot='{}' function='{}'/>".format, st.integers(0, 31), st.integers(0, 7)),
    st.builds("<address type='usb' bus='0' port='{}'/>".format, st.sampled_from(["1", "2.1", "1.1.1"])),
    st.builds("<address type='drive' controller='{}' unit='{}'/>".format, NUMBER, NUMBER),
)
DEVICES = {
    "<interface type='user'><model type='{1}'/>{2}</interface>": ("e1000", "e1000e", "virtio"),
    "<controller type='pci' index='1{0}' model='{1}'>{2}</controller>": (
        *("pci-bridge", "pcie-root-port", "dmi-to-pci-bridge", "pcie-to-pci-bridge", "pci-expander-bus"),
        *("pcie-switch-upstream-port", "pcie-switch-downstream-port", "pcie-expander-bus"),
    ),
    "<controller type='usb' index='{0}' model='{1}'>{2}</controller>": ("ich9-uhci1", "ich9-ehci1", "qemu-xhci"),
    "<input type='mouse' bus='{1}'>{2}</input>": ("usb", "virtio"),
    "<hub type='usb'>{2}</hub>": ("",),
    "<video><model type='{1}'/>{2}</video>": ("vga", "virtio"),
    "<video><model type='none'/></video>": ("",),
    "<disk><target dev='sd{1}' bus='scsi'/>{2}</disk>": tuple("abcdefgh"),
    "<disk><target dev='sd{1}' bus='usb'/>{2}</disk>": tuple("abcdefgh"),
    "<channel type='pty'><target type='virtio'/></channel>": ("",),
}
DEVICE = st.one_of(*(st.builds(f.format, NUMBER, st.sampled_from(words), ADDRESS) for f, words in DEVICES.items()))
MACHINE = st.sampled_from([("pc", "x86_64"), ("q35", "x86_64"), ("virt", "aarch64"), ("pseries", "ppc64")])


def places_of(definition: DomainDocument) -> Counter[str]:
    """How many devices are at each PCI or USB address."""
    assert definition.devices is not None
    found: Counter[str] = Counter()
    for field in definition.devices.__struct_fields__:
        devices = getattr(definition.devices, field)
        for each in devices if isinstance(devices, tuple) else (devices,):
            address = getattr(each, "address", None)
            if address is not None and address.type_ in ("pci", "usb"):
                found[numbered(address).removesuffix("+")] += 1
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(DEVICE, max_size=40), MACHINE, st.booleans())
def test_all_get_a_place_of_their_own(devices: list[str], machine: tuple[str, str], today: bool) -> None:
    before = domain("\n".join(devices), machine=machine[0], arch=machine[1])
    abilities = Abilities() if today else Abilities(root_port=False, pcie_bridge=False, modern_virtio=False)
    try:
        after = assign_addresses(before, abilities=abilities)
    except ConfigError as exc:
        assert exc.reason
        return
    assert all(count == 1 for count in places_of(after).values())
    assert assign_addresses(after, abilities=abilities) == after


def test_many_devices_take_no_long_time() -> None:
    begin = time.monotonic()
    for machine in ("pc", "q35"):
        card = "<interface type='user'><model type='e1000'/></interface>\n"
        try:
            assign_addresses(domain(card * 9000, machine=machine))
        except ConfigError as exc:
            assert exc.reason == "there are no more PCI buses: 256 is the most"
    assign_addresses(domain("<controller type='usb' index='0'/>" + "<input type='mouse' bus='usb'/>\n" * 900))
    assert time.monotonic() - begin < 15
