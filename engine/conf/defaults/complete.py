"""What libvirt adds to a domain when it is defined: every device, number and choice that was left to it.

Sources: libvirt's "Domain XML format", and what libvirt 9 shows of a domain of type qemu or kvm after it was defined.
Each step is a function of its own, in the module of its subject.
"""

from __future__ import annotations

from typing import TypeVar, cast

import msgspec

from engine.conf.defaults import (
    addressing,
    cards,
    characters,
    controllers,
    general,
    machine,
    others,
    processor,
    screens,
    storage,
    transient,
    tuning,
    written,
)
from engine.conf.defaults.capabilities import CapabilitiesLike, shown_by
from engine.conf.defaults.context import Context, Folders, Step, machine_of
from engine.conf.defaults.generated import Generator
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.nodes.node import Definition

__all__ = ["complete"]

#: Domains that QEMU runs.
_TYPES = ("qemu", "kvm", "kqemu", "hvf")
#: Before it is known which machine it is.
_FIRST: tuple[Step, ...] = (written.plain_numbers, general.identity, general.metadata, machine.machine_type)
#: Devices that others follow from come first; controllers in the order in which libvirt comes to them.
_THEN: tuple[Step, ...] = (
    transient.aliases,
    transient.labels,
    processor.numa_cells,
    processor.cpu,
    general.memory,
    general.limits,
    general.vcpu,
    tuning.memory_backing,
    tuning.block_devices,
    tuning.iothreads,
    tuning.cpu_tuning,
    tuning.numa_tuning,
    machine.boot_order,
    machine.firmware,
    machine.features,
    general.clock,
    general.events,
    others.emulator,
    controllers.order,
    controllers.numbers,
    controllers.controllers_of_machine,
    others.balloon,
    others.panics,
    storage.disks,
    storage.filesystems,
    cards.interfaces,
    cards.host_devices,
    characters.serials,
    characters.parallels,
    characters.consoles,
    characters.serials,
    characters.channels,
    addressing.drive_addresses,
    controllers.controllers_of_devices,
    controllers.models,
    screens.inputs,
    screens.graphics,
    screens.videos,
    screens.audio,
    others.watchdog,
    others.vsock,
    others.rngs,
    others.client_devices,
    others.tpms,
    others.shared_memory,
    others.memory_devices,
    addressing.all_addresses,
    characters.console_of_serial,
    written.decimal_numbers,
)


D = TypeVar("D", bound=Definition)


def complete(
    definition: D,
    capabilities: CapabilitiesLike | None = None,
    *,
    seed: int | None = None,
    live: bool = False,
    new: bool = False,
    folders: Folders | None = None,
    addresses: bool = True,
) -> D:
    """A domain of QEMU as libvirt 9 shows it once it is defined; whatever else there is comes back as it was.

    What is given stays; numbers, sizes and names are written as libvirt does.

    Args:
        capabilities: what is known of the hypervisor, such as ``present_qemu()``; without, no more than the domain
            itself shows, so what depends on it is left as it is, or comes out as with old ones.
        seed: what is made up follows from it; without, nobody can guess it.
        new: it is defined for the first time: USB devices and memory get places, too, as libvirt does only then.
        folders: where the host keeps what is made up for guests; without, as libvirt's system daemon does.
        live: it is of a guest that runs: what is known of such only (names of devices, state of jobs) is kept.
        addresses: devices get addresses, and PCI controllers where they need some.

    Raises:
        ConfigError: a value has no meaning, such as an unknown unit.
    """
    if not isinstance(definition, DomainDocument) or definition.type_ not in _TYPES:
        return definition
    context = Context(
        capabilities=capabilities or shown_by(definition),
        generator=Generator(seed),
        live=live,
        new=new,
        addresses=addresses,
        folders=folders or Folders(),
    )
    domain = _run(definition, context, _FIRST)
    context = msgspec.structs.replace(context, machine=machine_of(domain))
    return cast("D", _run(domain, context, _THEN))


def _run(definition: DomainDocument, context: Context, steps: tuple[Step, ...]) -> DomainDocument:
    for step in steps:
        definition = step(definition, context)
    return definition
