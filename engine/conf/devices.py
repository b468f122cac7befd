"""The parts of a domain document that make its machine, as frozen structs; every one carries its line.

Source: libvirt's "Domain XML format". The structs say what can be built: an element, attribute or value that is not
here is refused by name and line (``engine.conf.reader``), never skipped in silence. What libvirt writes into a document
as a mere fact (aliases, labels, live indexes) is in ``skipped``.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from engine.conf.reader import Body, Node, Present, Size, Text

__all__ = [
    "TPM",
    "Address",
    "Boot",
    "Channel",
    "CharSource",
    "Clock",
    "Console",
    "Controller",
    "Cpu",
    "Devices",
    "Disk",
    "Features",
    "Graphics",
    "Input",
    "Interface",
    "MachineDefinition",
    "MemoryBalloon",
    "Os",
    "Panic",
    "Rng",
    "Serial",
    "Video",
    "Watchdog",
]


class Address(Node, frozen=True, kw_only=True):
    """Where a device is plugged in; which fields count depends on ``type``."""

    type: Literal["pci", "drive", "virtio-serial", "usb", "isa"]
    domain: int = 0
    bus: int = 0
    slot: int = 0
    function: int = 0
    multifunction: bool = False
    controller: int = 0
    target: int = 0
    unit: int = 0
    port: str = ""
    iobase: int = 0
    skipped: ClassVar[frozenset[str]] = frozenset({"irq"})


class Boot(Node, frozen=True, kw_only=True):
    """``order``: 1 is first."""

    order: int


class Device(Node, frozen=True, kw_only=True):
    """What devices have in common."""

    address: Address | None = None
    skipped: ClassVar[frozenset[str]] = frozenset({"alias"})


# ---------------------------------------------------------------------------- disks and controllers


class DiskDriver(Node, frozen=True, kw_only=True):
    name: Literal["qemu"] = "qemu"
    type: Literal["raw", "qcow2"] = "raw"
    cache: Literal["default", "none", "writethrough", "writeback", "directsync", "unsafe"] = "default"
    io: Literal["threads", "native", "io_uring"] | None = None
    discard: Literal["unmap", "ignore"] = "ignore"
    detect_zeroes: Literal["off", "on", "unmap"] = "off"
    error_policy: Literal["stop", "report", "ignore", "enospace"] | None = None
    rerror_policy: Literal["stop", "report", "ignore"] | None = None
    queues: int = 0


class DiskSource(Node, frozen=True, kw_only=True):
    file: str = ""
    dev: str = ""
    startupPolicy: Literal["mandatory"] = "mandatory"
    skipped: ClassVar[frozenset[str]] = frozenset({"index", "seclabel"})


class DiskTarget(Node, frozen=True, kw_only=True):
    dev: str
    bus: Literal["virtio", "ide", "scsi", "sata"] | None = None
    tray: Literal["closed"] = "closed"


class Disk(Device, frozen=True, kw_only=True):
    """``<disk>``: a file or block device of the host, or an empty CD drive."""

    type: Literal["file", "block"] = "file"
    device: Literal["disk", "cdrom"] = "disk"
    driver: DiskDriver = DiskDriver()
    source: DiskSource = DiskSource()
    target: DiskTarget
    readonly: Annotated[bool, Present] = False
    shareable: Annotated[bool, Present] = False
    transient: Annotated[bool, Present] = False
    serial: Annotated[str, Text] = ""
    boot: Boot | None = None
    # the chain below the image is what the image itself says
    skipped: ClassVar[frozenset[str]] = frozenset({"alias", "backingStore", "snapshot"})


class ControllerModel(Node, frozen=True, kw_only=True):
    name: str = ""


class ControllerTarget(Node, frozen=True, kw_only=True):
    chassis: int = 0
    port: int = 0
    chassisNr: int = 0


class ControllerMaster(Node, frozen=True, kw_only=True):
    startport: int = 0


class Controller(Device, frozen=True, kw_only=True):
    """``<controller>``: ``type`` and ``index`` name it."""

    type: Literal["usb", "virtio-serial", "scsi", "ide", "sata", "pci"]
    index: int = 0
    model: str = ""
    ports: int = 0
    vectors: int = 0
    master: ControllerMaster | None = None
    model_name: Annotated[ControllerModel | None, "model"] = None
    target: ControllerTarget | None = None


# ---------------------------------------------------------------------------- network


class Mac(Node, frozen=True, kw_only=True):
    address: str


class InterfaceSource(Node, frozen=True, kw_only=True):
    bridge: str = ""


class InterfaceModel(Node, frozen=True, kw_only=True):
    type: Literal["virtio", "e1000", "e1000e", "rtl8139", "ne2k_pci", "pcnet", "vmxnet3"] = "rtl8139"


class InterfaceTarget(Node, frozen=True, kw_only=True):
    dev: str = ""
    managed: bool = True


class InterfaceLink(Node, frozen=True, kw_only=True):
    state: Literal["up", "down"] = "up"


class InterfaceAddress(Node, frozen=True, kw_only=True):
    address: str
    family: Literal["ipv4", "ipv6"] = "ipv4"
    prefix: int = 0


class ForwardRange(Node, frozen=True, kw_only=True):
    start: int
    end: int = 0
    to: int = 0


class PortForward(Node, frozen=True, kw_only=True):
    proto: Literal["tcp", "udp"]
    address: str = ""
    ranges: Annotated[tuple[ForwardRange, ...], "range"] = ()


class Interface(Device, frozen=True, kw_only=True):
    """``<interface>``: a network card on the user network, a bridge of the host, or a tap device that is there."""

    type: Literal["user", "bridge", "ethernet"]
    mac: Mac | None = None
    source: InterfaceSource = InterfaceSource()
    model: InterfaceModel | None = None
    target: InterfaceTarget = InterfaceTarget()
    link: InterfaceLink = InterfaceLink()
    boot: Boot | None = None
    ips: Annotated[tuple[InterfaceAddress, ...], "ip"] = ()
    forwards: Annotated[tuple[PortForward, ...], "portForward"] = ()


# ---------------------------------------------------------------------------- character devices


class CharSource(Node, frozen=True, kw_only=True):
    path: str = ""
    mode: Literal["bind", "connect"] | None = None
    append: bool = False
    skipped: ClassVar[frozenset[str]] = frozenset({"seclabel"})


class CharLog(Node, frozen=True, kw_only=True):
    file: str
    append: bool = False


class CharTarget(Node, frozen=True, kw_only=True):
    type: str = ""
    port: int | None = None
    name: str = ""
    model: CharModel | None = None
    skipped: ClassVar[frozenset[str]] = frozenset({"state"})


class CharModel(Node, frozen=True, kw_only=True):
    name: str = ""


class Character(Device, frozen=True, kw_only=True):
    """What serial lines, consoles and channels have in common: where the host's end is."""

    type: Literal["file", "pty", "unix", "null"]
    source: CharSource = CharSource()
    log: CharLog | None = None
    target: CharTarget = CharTarget()
    # <console tty='/dev/pts/3'> is what a running domain's document says
    skipped: ClassVar[frozenset[str]] = frozenset({"alias", "tty"})


class Serial(Character, frozen=True, kw_only=True):
    """``<serial>``."""


class Console(Character, frozen=True, kw_only=True):
    """``<console>``: the first one, of target ``serial``, is another name of the first serial line."""


class Channel(Character, frozen=True, kw_only=True):
    """``<channel>``: a virtio-serial port."""


# ---------------------------------------------------------------------------- the rest


class InputDevice(Device, frozen=True, kw_only=True):
    type: Literal["tablet", "mouse", "keyboard"]
    bus: Literal["usb", "ps2", "virtio"] | None = None


Input = InputDevice


class Listen(Node, frozen=True, kw_only=True):
    type: Literal["socket", "address", "none"]
    socket: str = ""
    address: str = ""


class Graphics(Node, frozen=True, kw_only=True):
    """``<graphics>``: VNC or SPICE, on a Unix socket; VNC on an address, too."""

    type: Literal["vnc", "spice"]
    port: int = -1
    autoport: bool = True
    listen: str = ""
    socket: str = ""
    sharePolicy: Literal["allow-exclusive", "force-shared", "ignore"] | None = None
    listens: Annotated[tuple[Listen, ...], "listen"] = ()
    skipped: ClassVar[frozenset[str]] = frozenset({"alias", "keymap"})


class Acceleration(Node, frozen=True, kw_only=True):
    accel2d: bool = False
    accel3d: bool = False


class VideoModel(Node, frozen=True, kw_only=True):
    type: Literal["vga", "cirrus", "virtio", "qxl", "bochs", "none"]
    vram: int = 0
    ram: int = 0
    vgamem: int = 0
    heads: int = 1
    primary: bool = False
    acceleration: Acceleration = Acceleration()


class Video(Device, frozen=True, kw_only=True):
    """``<video>``; sizes in KiB."""

    model: VideoModel


class Audio(Node, frozen=True, kw_only=True):
    id: int
    type: Literal["none"]


class RngBackend(Node, frozen=True, kw_only=True):
    model: Literal["random", "builtin"]
    path: Annotated[str, Body] = ""


class RngRate(Node, frozen=True, kw_only=True):
    bytes: int
    period: int = 1000


class Rng(Device, frozen=True, kw_only=True):
    """``<rng>``; ``period`` in milliseconds."""

    model: Literal["virtio"]
    backend: RngBackend
    rate: RngRate | None = None


class BalloonStats(Node, frozen=True, kw_only=True):
    period: int


class MemoryBalloon(Device, frozen=True, kw_only=True):
    """``<memballoon>``."""

    model: Literal["virtio", "none"]
    autodeflate: bool = False
    freePageReporting: bool = False
    stats: BalloonStats | None = None


class TpmBackend(Node, frozen=True, kw_only=True):
    type: Literal["emulator"]
    version: Literal["1.2", "2.0"] = "2.0"
    persistent_state: bool = False


class TPM(Device, frozen=True, kw_only=True):
    """``<tpm>``: swtpm behind it."""

    model: Literal["tpm-crb", "tpm-tis"] | None = None
    backend: TpmBackend


class Panic(Device, frozen=True, kw_only=True):
    """``<panic>``."""

    model: Literal["isa", "pvpanic"] = "isa"


class Watchdog(Device, frozen=True, kw_only=True):
    """``<watchdog>``."""

    model: Literal["i6300esb", "ib700"]
    action: Literal["reset", "shutdown", "poweroff", "pause", "none", "inject-nmi"] = "reset"


class Devices(Node, frozen=True, kw_only=True):
    """``<devices>``."""

    emulator: Annotated[str, Text] = ""
    disks: Annotated[tuple[Disk, ...], "disk"] = ()
    controllers: Annotated[tuple[Controller, ...], "controller"] = ()
    interfaces: Annotated[tuple[Interface, ...], "interface"] = ()
    serials: Annotated[tuple[Serial, ...], "serial"] = ()
    consoles: Annotated[tuple[Console, ...], "console"] = ()
    channels: Annotated[tuple[Channel, ...], "channel"] = ()
    inputs: Annotated[tuple[InputDevice, ...], "input"] = ()
    graphics: Annotated[tuple[Graphics, ...], "graphics"] = ()
    videos: Annotated[tuple[Video, ...], "video"] = ()
    audios: Annotated[tuple[Audio, ...], "audio"] = ()
    rngs: Annotated[tuple[Rng, ...], "rng"] = ()
    balloon: Annotated[MemoryBalloon | None, "memballoon"] = None
    tpm: TPM | None = None
    panics: Annotated[tuple[Panic, ...], "panic"] = ()
    watchdogs: Annotated[tuple[Watchdog, ...], "watchdog"] = ()


# ---------------------------------------------------------------------------- the machine


class OsType(Node, frozen=True, kw_only=True):
    kind: Annotated[Literal["hvm"], Body]
    arch: Literal["x86_64", "i686"] = "x86_64"
    machine: str = ""


class OsBoot(Node, frozen=True, kw_only=True):
    dev: Literal["hd", "cdrom", "network"]


class BootMenu(Node, frozen=True, kw_only=True):
    enable: bool = False
    timeout: int = 0


class Loader(Node, frozen=True, kw_only=True):
    path: Annotated[str, Body]
    readonly: bool = True
    secure: Literal["no"] = "no"
    type: Literal["rom", "pflash"] = "rom"


class Nvram(Node, frozen=True, kw_only=True):
    path: Annotated[str, Body] = ""


class Os(Node, frozen=True, kw_only=True):
    """``<os>``."""

    type: OsType
    boots: Annotated[tuple[OsBoot, ...], "boot"] = ()
    bootmenu: BootMenu | None = None
    loader: Loader | None = None
    nvram: Nvram | None = None
    kernel: Annotated[str, Text] = ""
    initrd: Annotated[str, Text] = ""
    cmdline: Annotated[str, Text] = ""


class State(Node, frozen=True, kw_only=True):
    state: bool = True


class Features(Node, frozen=True, kw_only=True):
    """``<features>``."""

    acpi: Annotated[bool, Present] = False
    apic: Annotated[bool, Present] = False
    pae: Annotated[bool, Present] = False
    vmport: State | None = None
    smm: State | None = None


class CpuModel(Node, frozen=True, kw_only=True):
    name: Annotated[str, Body] = ""
    skipped: ClassVar[frozenset[str]] = frozenset({"fallback"})


class CpuTopology(Node, frozen=True, kw_only=True):
    sockets: int
    cores: int
    threads: int
    dies: int = 1


class CpuFeature(Node, frozen=True, kw_only=True):
    name: str
    policy: Literal["force", "require", "optional", "disable", "forbid"] = "require"


class Cpu(Node, frozen=True, kw_only=True):
    """``<cpu>``."""

    mode: Literal["custom", "host-model", "host-passthrough", "maximum"] = "custom"
    match: Literal["exact", "minimum"] = "exact"
    check: Literal["none", "partial"] = "none"
    migratable: bool | None = None
    model: CpuModel | None = None
    topology: CpuTopology | None = None
    features: Annotated[tuple[CpuFeature, ...], "feature"] = ()
    skipped: ClassVar[frozenset[str]] = frozenset({"vendor"})


class Timer(Node, frozen=True, kw_only=True):
    name: Literal["rtc", "pit", "hpet", "kvmclock"]
    tickpolicy: Literal["delay", "catchup", "discard"] = "delay"
    present: bool = True


class Clock(Node, frozen=True, kw_only=True):
    """``<clock>``."""

    offset: Literal["utc", "localtime"] = "utc"
    timers: Annotated[tuple[Timer, ...], "timer"] = ()


class Enabled(Node, frozen=True, kw_only=True):
    enabled: bool


class PowerManagement(Node, frozen=True, kw_only=True):
    memory: Annotated[Enabled | None, "suspend-to-mem"] = None
    disk: Annotated[Enabled | None, "suspend-to-disk"] = None


class Vcpu(Node, frozen=True, kw_only=True):
    count: Annotated[int, Body]
    current: int = 0
    placement: Literal["static"] = "static"


class CpuTune(Node, frozen=True, kw_only=True):
    """What is not a limit of the whole domain; those are the scope's."""

    skipped: ClassVar[frozenset[str]] = frozenset(
        {"shares", "period", "quota", "global_period", "global_quota", "emulator_period", "emulator_quota"}
    )


class MachineDefinition(Node, frozen=True, kw_only=True):
    """A whole ``<domain>`` as far as its machine goes; sizes in KiB."""

    type: Literal["kvm", "qemu"]
    memory: Annotated[int, Size]
    current_memory: Annotated[int, Size, "currentMemory"] = 0
    vcpu: Vcpu = Vcpu(count=1)
    os: Os
    features: Features | None = None
    cpu: Cpu | None = None
    clock: Clock = Clock()
    pm: PowerManagement | None = None
    cputune: CpuTune | None = None
    on_poweroff: Annotated[Literal["destroy", "restart"], Text] = "destroy"
    on_reboot: Annotated[Literal["restart", "destroy"], Text] = "restart"
    on_crash: Annotated[Literal["destroy", "restart", "preserve"], Text] = "destroy"
    devices: Devices = Devices()
    # the engine itself reads these; <memtune> and <blkiotune> become properties of the scope
    skipped: ClassVar[frozenset[str]] = frozenset(
        {"id", "name", "uuid", "title", "description", "metadata", "resource", "memtune", "blkiotune"}
    )
