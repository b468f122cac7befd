"""What every network card has, whatever it is connected to.

Source: "Network interfaces" of libvirt's "Domain XML format".
"""

from __future__ import annotations

from typing import Annotated, Literal

from engine.conf.kinds.domain.device import Acpi, BackendDomain, Boot, Device, Rom, Teaming, VirtioDriver
from engine.conf.kinds.network_common import Bandwidth, FilterRef, InterfaceIp, Mtu, PortOptions, Route, Vlan
from engine.conf.kinds.values import (
    AbsFilePath,
    DeviceName,
    FilePath,
    IPAddress,
    OnOff,
    PlainName,
    PortNumber,
    PositiveInt,
    UnicastMac,
    UnsignedInt,
    YesNo,
)
from engine.conf.nodes.node import Attr, Child, Node, Text

__all__ = ["NetworkCard"]


class Mac(Node):
    """The card's hardware address.

    Attributes:
        address: made up when it is left out.
        type_: (ESXi) static: it is kept, even of the range that VMware gives addresses from; generated: it is of that.
        check_: (ESXi) no: VMware does not look whether it is of its range.
    """

    address: UnicastMac
    type_: Literal["generated", "static"] | None = None
    check_: YesNo | None = None


class Link(Node):
    """Whether the cable is plugged in."""

    state: Literal["up", "down"]


class CoalesceFrames(Node):
    """After how many packets there is an interrupt."""

    max: UnsignedInt | None = None


class CoalesceRx(Node):
    """Of packets to the guest."""

    frames: CoalesceFrames | None = None


class Coalesce(Node):
    """How interrupts for packets are put together.

    Attributes:
        rx: of packets that are received.
    """

    rx: CoalesceRx | None = None


class InterfaceTarget(Node):
    """The host's end of the card.

    Attributes:
        dev: its name, without a prefix that libvirt gives names with: vnet, vif, macvtap, macvlan.
        managed: no: it is there already, and is used as it is.
    """

    dev: DeviceName
    managed: YesNo | None = None


class GuestDevice(Node):
    """The guest's end of the card, in a container.

    Attributes:
        dev: its name.
        actual: the name that it has got, where the guest runs.
    """

    dev: DeviceName | None = None
    actual: DeviceName | None = None


class Script(Node):
    """A script that sets the host's end up, or takes it down."""

    path: FilePath


class CardModel(Node):
    """The card that the guest sees: virtio, e1000, rtl8139, ... as the hypervisor has them."""

    type_: PlainName


class CardBackend(Node):
    """What moves the packets on the host.

    Attributes:
        type_: passt: that program connects a card of type user, instead of the hypervisor.
        tap: what tap devices are made with, instead of /dev/net/tun.
        vhost: the kernel's device that vhost is used by, instead of /dev/vhost-net.
        log_file: what passt writes its log to.
    """

    type_: Literal["passt"] | None = None
    tap: AbsFilePath | None = None
    vhost: AbsFilePath | None = None
    log_file: Annotated[AbsFilePath | None, Attr("logFile")] = None


class GuestOffloads(Node):
    """What the guest may leave to the host, of packets that it receives; on, if the hypervisor can.

    Attributes:
        csum: checksums.
        tso4, tso6: TCP segmentation, over IPv4 or IPv6.
        ecn: TCP segmentation with congestion notification.
        ufo: UDP fragmentation.
    """

    csum: OnOff | None = None
    tso4: OnOff | None = None
    tso6: OnOff | None = None
    ecn: OnOff | None = None
    ufo: OnOff | None = None


class HostOffloads(GuestOffloads):
    """What the host does for the guest, of packets that it sends.

    Attributes:
        gso: segmentation of any kind.
        mrg_rxbuf: packets that are received may be spread over buffers.
    """

    gso: OnOff | None = None
    mrg_rxbuf: OnOff | None = None


class CardDriver(VirtioDriver):
    """How the card is driven.

    Attributes:
        rss: packets are spread over the guest's queues by their hash.
        rss_hash_report: the guest is told each packet's hash.
        host: what the host does for the guest.
        guest: what the guest leaves to the host.
    """

    rss: OnOff | None = None
    rss_hash_report: OnOff | None = None
    host: HostOffloads | None = None
    guest: GuestOffloads | None = None


class EmulatedCardDriver(CardDriver):
    """How a virtio card is driven.

    Attributes:
        name: vhost: by the kernel; qemu: by the emulator; without it, by the kernel if it can.
        queues: how many packets can be handled at once, each by a CPU of its own.
        rx_queue_size, tx_queue_size: how many packets a queue takes, a power of two.
        txmode: how packets are sent when there are more than fit: by an I/O thread, or after a while.
        ioeventfd: the guest goes on while a thread of its own does the I/O.
        event_idx: fewer interrupts.
    """

    name: Literal["qemu", "vhost"] | None = None
    queues: PositiveInt | None = None
    rx_queue_size: PositiveInt | None = None
    tx_queue_size: PositiveInt | None = None
    txmode: Literal["iothread", "timer"] | None = None
    ioeventfd: OnOff | None = None
    event_idx: OnOff | None = None


class PassedCardDriver(CardDriver):
    """What passes a card of the host's through."""

    name: Literal["kvm", "vfio", "xen"]


class PortRange(Node):
    """Ports that are forwarded to the guest.

    Attributes:
        end: the last; without it, there is only ``start``.
        to: the guest's port for ``start``; without it, the same.
        exclude: these are not forwarded.
    """

    start: PortNumber
    end: PortNumber | None = None
    to: PortNumber | None = None
    exclude: YesNo | None = None


class PortForward(Node):
    """What comes to the host is sent on to the guest, by passt.

    Attributes:
        address: of the host, which it comes to; without one, any.
        dev: the host's device that it comes by.
        ranges: without any, all ports.
    """

    proto: Literal["tcp", "udp"]
    address: IPAddress | None = None
    dev: DeviceName | None = None
    ranges: Annotated[tuple[PortRange, ...], Child("range")] = ()


class Tune(Node):
    """Finer settings of a tap device.

    Attributes:
        sndbuf: how many bytes may wait to be sent; 0: no limit.
    """

    sndbuf: Annotated[UnsignedInt | None, Text] = None


class NetworkCard(Device):
    """A network card; its type says what it is connected to.

    Attributes:
        trust_guest_rx_filters: the guest may change its hardware address and what else it receives (virtio on macvtap).
        ips, routes: what the guest's end is given, in a container or by passt or SLIRP.
        port_forwards: what is sent on to the guest (passt).
        script, downscript: run when the host's end is set up, and when it is taken down.
        filterref: the packet filter.
        bandwidth: limits of its traffic.
        vlan: what its traffic is tagged with, if what it is connected to can.
        port: how its port of the bridge is set.
        teaming: it is one of a pair of which one stays when the guest is migrated.
    """

    comes_first = (
        "mac",
        "source",
        "vlan",
        "virtualport",
        "ips",
        "routes",
        "script",
        "downscript",
        "backenddomain",
        "bandwidth",
    )
    known_by = ("mac.address", "alias.name")
    trust_guest_rx_filters: Annotated[YesNo | None, Attr("trustGuestRxFilters")] = None
    mac: Mac | None = None
    ips: Annotated[tuple[InterfaceIp, ...], Child("ip")] = ()
    routes: Annotated[tuple[Route, ...], Child("route")] = ()
    port_forwards: Annotated[tuple[PortForward, ...], Child("portForward")] = ()
    script: Script | None = None
    downscript: Script | None = None
    backenddomain: BackendDomain | None = None
    target: InterfaceTarget | None = None
    guest: GuestDevice | None = None
    model: CardModel | None = None
    driver: EmulatedCardDriver | PassedCardDriver | None = None
    backend: CardBackend | None = None
    filterref: FilterRef | None = None
    tune: Tune | None = None
    link: Link | None = None
    mtu: Mtu | None = None
    coalesce: Coalesce | None = None
    bandwidth: Bandwidth | None = None
    vlan: Vlan | None = None
    port: PortOptions | None = None
    teaming: Teaming | None = None
    boot: Boot | None = None
    rom: Rom | None = None
    acpi: Acpi | None = None
