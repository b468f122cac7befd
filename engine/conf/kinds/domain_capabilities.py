"""``<domainCapabilities>``: what a hypervisor can give to a domain. Source: libvirt's "Domain capabilities XML format".

An element that is not there says nothing: the hypervisor may have it or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, TypeAlias

from engine.conf.kinds.common import Choices
from engine.conf.kinds.cpu import CpuFeature, CpuModel
from engine.conf.kinds.values import AbsFilePath, UnsignedInt, XsdUnsignedInt, XsdUnsignedLong, YesNo
from engine.conf.nodes.node import Body, Child, Definition, Node, Text, needs, together

__all__ = ["DomainCapabilitiesDocument", "Support", "Supported"]


class Supported(Node):
    """Whether there is something."""

    supported: YesNo


class Support(Supported):
    """Whether there is something, and what may be said of it."""

    enums: Annotated[tuple[Choices, ...], Child("enum")] = ()


class VcpuLimit(Node):
    """How many CPUs a domain can have."""

    max: UnsignedInt


class LoaderSupport(Support):
    """Which firmware a domain can have.

    Attributes:
        values: paths of images that there are.
    """

    values: Annotated[tuple[str, ...], Text("value")] = ()


class OsSupport(Support):
    """How a domain can boot.

    Attributes:
        enums: ``firmware``: what can be had without naming an image.
    """

    loader: LoaderSupport | None = None


# ---------------------------------------------------------------------------- CPU


class HostCpuMode(Support):
    """The guest sees the host's CPU (host-passthrough), or all that the hypervisor can do (maximum).

    Attributes:
        enums: whether such a domain may be ``migratable``.
    """

    known_by = ("name",)
    name: Literal["host-passthrough", "maximum"]


class HostModelMode(Supported):
    """The guest sees a CPU that is much like the host's: this one."""

    known_by = ("name",)
    name: Literal["host-model"]
    model: CpuModel | None = None
    vendor: Annotated[str | None, Text] = None
    features: Annotated[tuple[CpuFeature, ...], Child("feature")] = ()
    rules = (needs("vendor", "model"), needs("features", "model"))


class KnownModel(Node):
    """A model of CPU that can be asked for.

    Attributes:
        usable: the host can run it as it is; ``no``: only without some of its features.
        deprecated: the hypervisor's makers advise against it; vendor: ``unknown`` if that is not known.
    """

    name: Annotated[str, Body]
    usable: Literal["yes", "no", "unknown"]
    deprecated: YesNo | None = None
    vendor: str


class CustomMode(Supported):
    """The guest sees the CPU that its document asks for: one of these."""

    known_by = ("name",)
    name: Literal["custom"]
    models: Annotated[tuple[KnownModel, ...], Child("model")] = ()


CpuMode: TypeAlias = HostCpuMode | HostModelMode | CustomMode


class CpuSupport(Node):
    """How a domain's CPU can be chosen; each mode once."""

    modes: Annotated[tuple[CpuMode, ...], Child("mode")]

    def check(self) -> Iterator[str]:
        found = Counter(mode.name for mode in self.modes)
        for name in ("host-passthrough", "maximum", "host-model", "custom"):
            if found[name] == 0:
                yield f"it lacks the <mode> {name}"
            elif found[name] > 1:
                yield f"the <mode> {name} may be there only once"


# ---------------------------------------------------------------------------- devices and features


class DeviceSupport(Node):
    """Which devices a domain can have."""

    disk: Support | None = None
    graphics: Support | None = None
    video: Support | None = None
    hostdev: Support | None = None
    rng: Support | None = None
    filesystem: Support | None = None
    tpm: Support | None = None
    redirdev: Support | None = None
    channel: Support | None = None


class SevSupport(Supported):
    """AMD's encrypted guests.

    Attributes:
        cbitpos: which bit of a physical address says that it is encrypted.
        reduced_phys_bits: how many bits of physical addresses are lost by it.
        max_guests, max_es_guests: how many such guests the host can run, and how many with encrypted registers.
    """

    cbitpos: Annotated[XsdUnsignedInt | None, Text] = None
    reduced_phys_bits: Annotated[XsdUnsignedInt | None, Text("reducedPhysBits")] = None
    max_guests: Annotated[XsdUnsignedInt | None, Text("maxGuests")] = None
    max_es_guests: Annotated[XsdUnsignedInt | None, Text("maxESGuests")] = None
    rules = (together("cbitpos", "reduced_phys_bits", "max_guests", "max_es_guests"),)


class SgxSize(Node):
    """The size of the host's enclave page cache."""

    value: Annotated[XsdUnsignedLong, Body]
    unit: Literal["KiB"]


class SgxSection(Node):
    """The part of the enclave page cache that a NUMA node has."""

    known_by = ("node",)
    node: XsdUnsignedInt
    size: XsdUnsignedLong
    unit: Literal["KiB"]


class SgxSections(Node):
    """The enclave page cache by NUMA nodes."""

    sections: Annotated[tuple[SgxSection, ...], Child("section")] = ()


class SgxSupport(Supported):
    """Intel's enclaves.

    Attributes:
        flc: who may start one can be changed (flexible launch control).
        sgx1, sgx2: the versions.
    """

    flc: Annotated[YesNo | None, Text] = None
    sgx1: Annotated[YesNo | None, Text] = None
    sgx2: Annotated[YesNo | None, Text] = None
    section_size: SgxSize | None = None
    sections: SgxSections | None = None
    rules = (together("flc", "sgx1", "sgx2", "section_size"), needs("sections", "flc"))


class FeatureSupport(Node):
    """What else a domain can have.

    Attributes:
        genid: a generation id; backing_store_input: the hypervisor heeds the ``<backingStore>`` of disks.
        backup: backups and checkpoints; s390_pv: (S/390) guests that the host can't look into.
        hyperv: what makes Windows run better.
    """

    gic: Support | None = None
    vmcoreinfo: Supported | None = None
    genid: Supported | None = None
    backing_store_input: Annotated[Supported | None, Child("backingStoreInput")] = None
    backup: Supported | None = None
    s390_pv: Annotated[Supported | None, Child("s390-pv")] = None
    sev: SevSupport | None = None
    sgx: SgxSupport | None = None
    hyperv: Support | None = None


class DomainCapabilitiesDocument(Definition):
    """What a hypervisor can give to a domain of one type, architecture and type of machine.

    Attributes:
        path: of the hypervisor's program; domain: the domain's type, as ``kvm``.
        machine: hypervisors that know none have none.
    """

    kind: ClassVar[str] = "domainCapabilities"
    path: Annotated[AbsFilePath, Text]
    domain: Annotated[str, Text]
    machine: Annotated[str | None, Text] = None
    arch: Annotated[str, Text]
    vcpu: VcpuLimit | None = None
    iothreads: Supported | None = None
    os: OsSupport | None = None
    cpu: CpuSupport | None = None
    memory_backing: Annotated[Support | None, Child("memoryBacking")] = None
    devices: DeviceSupport | None = None
    features: FeatureSupport | None = None
