"""Which declarations belong to which root element; a kind's are imported when a document of it comes."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from engine.conf.nodes.node import Definition
from engine.conf.nodes.plan import nodes_of

__all__ = ["ALIASES", "KINDS", "definition_classes"]

#: Module and class, or union of classes, by the root's tag.
KINDS = {
    "cpu": ("engine.conf.kinds.cpu", "CpuDocument"),
    "domain": ("engine.conf.kinds.domain.document", "DomainDocument"),
    "capabilities": ("engine.conf.kinds.capabilities", "CapabilitiesDocument"),
    "domainCapabilities": ("engine.conf.kinds.domain_capabilities", "DomainCapabilitiesDocument"),
    "domainsnapshot": ("engine.conf.kinds.snapshot", "SnapshotDocument"),
    "domaincheckpoint": ("engine.conf.kinds.checkpoint", "CheckpointDocument"),
    "domainbackup": ("engine.conf.kinds.backup", "Backup"),
    "pool": ("engine.conf.kinds.storage_pool", "Pool"),
    "volume": ("engine.conf.kinds.storage_volume", "VolumeDocument"),
    "storagepoolCapabilities": ("engine.conf.kinds.storage_pool_capabilities", "StoragePoolCapabilitiesDocument"),
    "device": ("engine.conf.kinds.node_device", "NodeDeviceDocument"),
    "filter": ("engine.conf.kinds.nwfilter", "NwfilterDocument"),
    "filterbinding": ("engine.conf.kinds.nwfilter_binding", "NwfilterBindingDocument"),
    "interface": ("engine.conf.kinds.host_interface", "HostInterface"),
    "network": ("engine.conf.kinds.network", "NetworkDocument"),
    "networkport": ("engine.conf.kinds.network_port", "NetworkPortDocument"),
    "secret": ("engine.conf.kinds.secret", "SecretDocument"),
}

#: What libvirt calls kinds that have another name than their root element.
ALIASES = {
    "storagepool": "pool",
    "storagevol": "volume",
    "nodedev": "device",
    "nwfilter": "filter",
    "nwfilterbinding": "filterbinding",
    "domaincapabilities": "domainCapabilities",
    "storagepoolcapabilities": "storagepoolCapabilities",
}


@cache
def definition_classes(kind: str) -> tuple[type[Definition], ...]:
    """The shapes that its documents may have; none: there is no such kind."""
    if kind not in KINDS:
        return ()
    module, name = KINDS[kind]
    return tuple(cls for cls in nodes_of(getattr(import_module(module), name)) if issubclass(cls, Definition))
