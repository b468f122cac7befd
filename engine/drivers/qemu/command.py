"""A domain definition as QEMU's command line. Pure: ``tests/drivers/qemu/golden`` shows what comes out.

Source: QEMU's qemu(1) and its QAPI reference; libvirt's "Domain XML format" for what a document means.
"""

from __future__ import annotations

import shlex

import msgspec

from engine.conf.devices import Cpu, MachineDefinition
from engine.conf.document import line_of
from engine.conf.domain import DomainDefinition
from engine.conf.reader import read
from engine.drivers.qemu.characters import Characters, add_characters
from engine.drivers.qemu.disks import add_disks
from engine.drivers.qemu.network import Tap, add_interfaces
from engine.drivers.qemu.options import Line, Places, escape, keyval, refuse
from engine.drivers.qemu.peripherals import add_peripherals
from engine.drivers.qemu.topology import Topology
from engine.errors import ConfigError, UnsupportedConfig

__all__ = ["Command", "Plan", "build", "check", "read_machine", "shown"]

_QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
# no privileges to gain, no programs to run, no scheduling to change: what a guest that broke out would want first
_SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the driver must have at hand before it builds the command line.

    Attributes:
        emulator: the program, a name or a path.
        kvm: it needs KVM; tpm: it needs swtpm, of this version, or "".
        taps: the tap devices it needs.
        flush: QEMU itself keeps data of a disk that would be lost if it were just killed.
        transient: a disk's changes are lost when QEMU ends.
    """

    emulator: str
    kvm: bool
    tpm: str = ""
    taps: tuple[Tap, ...] = ()
    flush: bool = False
    transient: bool = False


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """The command line, and what the driver must know of what it built."""

    argv: list[str]
    plan: Plan
    characters: Characters
    machine: MachineDefinition


def read_machine(definition: DomainDefinition) -> MachineDefinition:
    """The machine a definition asks for.

    Raises:
        UnsupportedConfig: something in it can't be built, by name and line. ConfigError: something makes no sense.
    """
    root = definition.element()
    for child in root:
        tag = child.tag
        if isinstance(tag, str) and tag.startswith(f"{{{_QEMU_NAMESPACE}}}"):
            name = f"<qemu:{tag.rpartition('}')[2]}>"
            raise UnsupportedConfig(name, "not supported", source=definition.source, line=line_of(child))
    return read(MachineDefinition, root, source=definition.source)


def check(definition: DomainDefinition) -> None:
    """Refuse what ``build`` could not build. Raises: see there."""
    build(definition, Places(runtime="/run"))


def build(definition: DomainDefinition, places: Places, *, machine: MachineDefinition | None = None) -> Command:
    """The command line of ``definition``, on the host's ``places``.

    Raises:
        UnsupportedConfig, ConfigError: with the line.
    """
    machine = machine or read_machine(definition)
    try:
        return _Builder(definition, machine, places).build()
    except UnsupportedConfig as exc:
        if exc.source is not None or definition.source is None:
            raise
        reason = exc.reason.removeprefix(f"{exc.element}: ")
        raise UnsupportedConfig(exc.element, reason, source=definition.source, line=exc.line) from exc


def shown(definition: DomainDefinition) -> str:
    """The command line for people: a line an option, descriptors and folders as they would be.

    Raises:
        UnsupportedConfig, ConfigError: with the line.
    """
    plan = build(definition, Places(runtime="/run")).plan
    taps = {tap.index: 20 + number for number, tap in enumerate(plan.taps)}
    places = Places(emulator=plan.emulator, runtime=f"/run/virengine/{definition.name}", monitor=10, tpm=11, taps=taps)
    words = [shlex.quote(word) for word in build(definition, places).argv]
    lines = [words[0]]
    for word in words[1:]:
        if word.startswith("-"):
            lines.append(word)
        else:
            lines[-1] += f" {word}"
    return " \\\n".join(lines) + "\n"


class _Builder:
    def __init__(self, definition: DomainDefinition, machine: MachineDefinition, places: Places) -> None:
        self.definition = definition
        self.machine = machine
        self.places = places
        self.line = Line()
        self.board = machine.os.type.machine or "pc"
        self.q35 = self.board == "q35" or self.board.startswith("pc-q35")
        if not self.q35 and self.board != "pc" and not self.board.startswith("pc-i440fx"):
            raise refuse(
                f"<type machine='{self.board}'>", "not supported (there is pc, q35 and their versions)", machine.os.type
            )

    def build(self) -> Command:
        machine, line = self.machine, self.line
        self._identity()
        self._board()
        self._processor()
        self._clock()
        self._endings()
        self._firmware()
        disks_first, cards_first = self._boot_order()
        topology = Topology(line, machine, q35=self.q35)
        characters = add_characters(line, topology, machine.devices, self.places)
        add_disks(line, topology, machine.devices.disks, disks_first)
        taps = add_interfaces(
            line, topology, machine.devices.interfaces, self.definition.uuid, self.places, cards_first
        )
        add_peripherals(line, topology, machine, self.places)
        plan = self._plan(taps)
        return Command(
            argv=[self.places.emulator or plan.emulator, *line.arguments()],
            plan=plan,
            characters=characters,
            machine=machine,
        )

    def _plan(self, taps: tuple[Tap, ...]) -> Plan:
        devices = self.machine.devices
        writable = [disk for disk in devices.disks if not disk.readonly and disk.device == "disk"]
        arch = {"i686": "i386"}.get(self.machine.os.type.arch, self.machine.os.type.arch)
        return Plan(
            emulator=devices.emulator or f"qemu-system-{arch}",
            kvm=self.machine.type == "kvm",
            tpm=devices.tpm.backend.version if devices.tpm else "",
            taps=taps,
            flush=any(disk.driver.type != "raw" and not disk.transient for disk in writable),
            transient=any(disk.transient for disk in writable),
        )

    def _identity(self) -> None:
        definition = self.definition
        self.line.add("-name", keyval("", guest=definition.name, debug_threads=True), "-uuid", definition.uuid)
        self.line.add("-nodefaults", "-no-user-config", "-S", "-display", "none", "-msg", "timestamp=on")
        self.line.add("-sandbox", _SANDBOX)
        monitor = keyval("socket", id="monitor", fd=self.places.monitor, server=True, wait=False)
        self.line.add("-chardev", monitor, "-mon", "chardev=monitor,mode=control")
        # QEMU writes its events down itself: what happens while no engine is there is known afterwards
        self.line.add("-chardev", keyval("pipe", id="events", path=f"{self.places.runtime}/events"))
        self.line.add("-mon", "chardev=events,mode=control")

    def _board(self) -> None:
        machine, features = self.machine, self.machine.features
        hpet = next((timer.present for timer in machine.clock.timers if timer.name == "hpet"), None)
        facts = {
            "accel": "kvm" if machine.type == "kvm" else "tcg",
            "usb": False,
            "dump_guest_core": False,
            # a document that says nothing of features gets a machine that can be powered off
            "acpi": None if features is None or features.acpi else False,
            "vmport": features.vmport.state if features and features.vmport else None,
            "smm": features.smm.state if features and features.smm else None,
            "hpet": hpet,
        }
        loader = machine.os.loader
        if loader is not None and loader.type == "pflash":
            facts["pflash0"] = "pflash0"
            if machine.os.nvram is not None:
                facts["pflash1"] = "pflash1"
        self.line.add("-machine", keyval(self.board, **facts))
        if not machine.memory:
            raise ConfigError("<memory> is 0", source=self.definition.source, line=machine.line or None)
        self.line.add("-m", f"size={-(-machine.memory // 1024)}M")

    def _processor(self) -> None:
        machine = self.machine
        vcpu, topology = machine.vcpu, machine.cpu.topology if machine.cpu else None
        if not 0 < (vcpu.current or vcpu.count) <= vcpu.count:
            raise refuse(f"<vcpu current='{vcpu.current}'>", f"there are {vcpu.count}", vcpu)
        smp = {"maxcpus": vcpu.count if vcpu.current else None}
        if topology is not None:
            if topology.sockets * topology.dies * topology.cores * topology.threads != vcpu.count:
                raise refuse("<topology>", f"it does not make the {vcpu.count} CPUs of <vcpu>", topology)
            smp |= {
                "sockets": topology.sockets,
                "dies": topology.dies,
                "cores": topology.cores,
                "threads": topology.threads,
            }
        self.line.add("-smp", keyval(str(vcpu.current or vcpu.count), **smp))
        words = _cpu(machine.cpu, kvm=machine.type == "kvm") if machine.cpu else []
        features = machine.features
        timers = {timer.name: timer.present for timer in machine.clock.timers}
        if "kvmclock" in timers:
            words = [
                *(words or ["qemu64" if machine.type == "qemu" else "kvm64"]),
                f"kvmclock={escape(timers['kvmclock'])}",
            ]
        if features is not None and features.pae is False and words and machine.os.type.arch == "i686":
            words.append("pae=off")
        if words:
            self.line.add("-cpu", ",".join(words))

    def _clock(self) -> None:
        clock = self.machine.clock
        drift = None
        for timer in clock.timers:
            if timer.name == "rtc":
                if timer.tickpolicy == "discard":
                    raise refuse("<timer tickpolicy='discard'>", "the rtc can only delay or catchup", timer)
                drift = "slew" if timer.tickpolicy == "catchup" else None
            elif timer.name == "pit":
                if timer.tickpolicy == "catchup":
                    raise refuse("<timer tickpolicy='catchup'>", "the pit can only delay or discard", timer)
                if self.machine.type == "kvm":
                    self.line.add("-global", f"kvm-pit.lost_tick_policy={timer.tickpolicy}")
            elif timer.tickpolicy != "delay":
                raise refuse(f"<timer name='{timer.name}'>", "it has no tickpolicy", timer)
        self.line.add("-rtc", keyval("", base=clock.offset, driftfix=drift))

    def _endings(self) -> None:
        machine = self.machine
        actions = {
            "reboot": None if machine.on_reboot == "restart" else "shutdown",
            # paused, so that the driver can start it over
            "shutdown": "pause" if machine.on_poweroff == "restart" else None,
            "panic": "shutdown" if machine.on_crash == "destroy" else "pause",
        }
        self.line.add("-action", keyval("", **actions))
        sleep = machine.pm
        for name, enabled in (("s3", sleep and sleep.memory), ("s4", sleep and sleep.disk)):
            if enabled:
                chip = "ICH9-LPC" if self.q35 else "PIIX4_PM"
                self.line.add("-global", f"{chip}.disable_{name}={int(not enabled.enabled)}")

    def _firmware(self) -> None:
        system = self.machine.os
        loader, nvram = system.loader, system.nvram
        if loader is not None and loader.type == "rom":
            self.line.add("-bios", loader.path)
        elif loader is not None:
            self._flash(0, loader.path, read_only=loader.readonly)
            if nvram is not None:
                if not nvram.path:
                    raise refuse("<nvram>", "it names no file", nvram)
                self._flash(1, nvram.path, read_only=False)
        if nvram is not None and (loader is None or loader.type != "pflash"):
            raise refuse("<nvram>", "it needs a <loader type='pflash'>", nvram)
        if (system.initrd or system.cmdline) and not system.kernel:
            raise refuse("<initrd>" if system.initrd else "<cmdline>", "it needs a <kernel>", system)
        for option, value in (("-kernel", system.kernel), ("-initrd", system.initrd), ("-append", system.cmdline)):
            if value:
                self.line.add(option, value)

    def _flash(self, number: int, path: str, *, read_only: bool) -> None:
        self.line.blockdev(driver="file", node_name=f"pflash{number}-file", filename=path, read_only=read_only)
        self.line.blockdev(driver="raw", node_name=f"pflash{number}", file=f"pflash{number}-file", read_only=read_only)

    def _boot_order(self) -> tuple[dict[int, int], dict[int, int]]:
        """Boot index by disk and by card: their own ``<boot order>``, or the first of each kind ``<os>`` names."""
        system, devices = self.machine.os, self.machine.devices
        menu = system.bootmenu
        facts = {"menu": True if menu and menu.enable else None, "splash_time": (menu and menu.timeout) or None}
        self.line.add("-boot", keyval("", strict=True, **facts))
        disks = {index: disk.boot.order for index, disk in enumerate(devices.disks) if disk.boot}
        cards = {index: card.boot.order for index, card in enumerate(devices.interfaces) if card.boot}
        if disks or cards:
            if system.boots:
                raise refuse("<boot dev>", "the order is given by the devices' own <boot order>", system.boots[0])
            orders = [*disks.values(), *cards.values()]
            if len(set(orders)) < len(orders) or min(orders) < 1:
                raise refuse("<boot order>", "each order can be given once, from 1", system)
            return disks, cards
        wanted = [boot.dev for boot in system.boots] or ([] if system.kernel else ["hd"])
        for order, kind in enumerate(dict.fromkeys(wanted), 1):
            if kind == "network":
                if devices.interfaces:
                    cards[0] = order
                continue
            device = "disk" if kind == "hd" else "cdrom"
            found = next((i for i, disk in enumerate(devices.disks) if disk.device == device), None)
            if found is not None:
                disks[found] = order
        return disks, cards


def _cpu(cpu: Cpu, *, kvm: bool) -> list[str]:
    if cpu.mode == "custom":
        if cpu.model is None:
            if cpu.features:
                raise refuse("<cpu>", "features need a <model>", cpu)
            return []
        words = [escape(cpu.model.name)]
    else:
        # there is no host to be like without KVM: the most that can be emulated is the nearest
        words = ["host" if kvm and cpu.mode != "maximum" else "max"]
        if cpu.migratable is not None:
            if cpu.mode != "host-passthrough" and cpu.mode != "maximum":
                raise refuse("<cpu migratable>", f"it makes no sense with mode {cpu.mode}", cpu)
            words.append(f"migratable={escape(cpu.migratable)}")
    for feature in cpu.features:
        on = feature.policy in ("force", "require", "optional")
        words.append(f"{escape(feature.name)}={escape(on)}")
    return words
