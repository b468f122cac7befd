"""Nothing is lost in silence, whatever the machine: neither of a domain nor of a .vmx."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from support.vmx import FILES

from engine.conf.documents import parse
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.native import Conversion, NativeText
from engine.conf.nodes.differences import differences
from engine.errors import ConfigError, UnsupportedConfig
from engine.vmx import read_vmx, write_vmx
from engine.vmx.leftout import is_default

# ---------------------------------------------------------------------------- of a .vmx

FLAG = "TRUE FALSE"
FILE = "a.vmdk|/b.iso|/dev/sr0|auto detect|emptyBackingString"
MAC = "00:50:56:00:00:01|00:50:56:80:00:01|00:0c:29:00:00:01|02:00:00:00:00:01"
#: Values that keys may have, with ``|`` or spaces between them.
KEYS = {
    "memsize": "4 64", "sched.mem.max": "8 64 unlimited", "sched.mem.minsize": "0 8",
    "numvcpus": "1 2 4", "cpuid.coresPerSocket": "1 2", "firmware": "bios efi csm", "sched.cpu.affinity": "all 0,1,5",
    "sched.cpu.shares": "normal high 7", "smbios.reflectHost": FLAG, "vm.genid": "0 -5", "annotation": "a b",
    "guestinfo.x": "1", "scsi0.present": FLAG, "scsi0.virtualDev": "pvscsi lsilogic new",
    "scsi0.sharedBus": "none virtual", "scsi0:0.present": FLAG, "scsi0:0.fileName": FILE,
    "scsi0:0.deviceType": "cdrom-image scsi-passthru", "scsi0:0.mode": "persistent nonpersistent append",
    "scsi0:0.writeThrough": FLAG, "scsi0:0.startConnected": FLAG, "sata0.present": FLAG,
    "sata0:1.present": FLAG, "sata0:1.fileName": FILE, "ide0:0.present": FLAG, "ide0:0.fileName": FILE,
    "ide0:0.deviceType": "atapi-cdrom cdrom-raw cdrom-image new", "ide0:0.clientDevice": FLAG,
    "ide0:0.mode": "persistent nonpersistent", "floppy0.present": FLAG,
    "floppy0.fileType": "file device", "floppy0.fileName": "a|/dev/fd0", "floppy0.autodetect": FLAG,
    "ethernet0.present": FLAG, "ethernet0.networkName": "a b",
    "ethernet0.connectionType": "bridged hostonly nat custom new",
    "ethernet0.vnet": "VMnet3", "ethernet0.addressType": "static generated vpx", "ethernet0.address": MAC,
    "ethernet0.generatedAddress": MAC, "ethernet0.checkMACAddress": FLAG, "ethernet0.virtualDev": "e1000 vmxnet",
    "ethernet0.features": "1 15", "ethernet0.startConnected": FLAG,
    "ethernet0.dvs.switchId": "50 34 26 b2 94 e9 3b 16-1d 68 87 bf ff 4a 54 40|", "ethernet0.dvs.portId": "0 7",
    "serial0.present": FLAG, "serial0.fileType": "device file pipe network new",
    "serial0.fileName": "a|tcp://h:1|telnet://:7", "serial0.network.endPoint": "client server",
    "serial0.pipe.endPoint": "client server", "serial0.tryNoRxLoss": FLAG, "parallel0.present": FLAG,
    "parallel0.fileType": "device file new", "parallel0.fileName": "/dev/lp0|a", "svga.present": FLAG,
    "svga.vramSize": "4096 4194304", "RemoteDisplay.vnc.enabled": FLAG, "RemoteDisplay.vnc.port": "5900",
    "RemoteDisplay.vnc.ip": "10.0.0.1", "RemoteDisplay.vnc.keymap": "de", "isolation.tools.hgfs.disable": FLAG,
    "sharedFolder0.present": FLAG, "sharedFolder0.enabled": FLAG, "sharedFolder0.hostPath": "/a",
    "sharedFolder0.guestName": "a", "sharedFolder0.writeAccess": FLAG, "usb.present": FLAG, "hpet0.present": FLAG,
}  # fmt: skip
Lines = dict[str, str]


def values_of(key: str) -> list[str]:
    return KEYS[key].split("|" if "|" in KEYS[key] else " ")


def machines() -> st.SearchStrategy[Lines]:
    """Some keys of some devices."""
    devices = st.sets(st.sampled_from(sorted({key.partition(".")[0] for key in KEYS})), max_size=5)
    return devices.flatmap(lambda names: st.fixed_dictionaries({}, optional=_of_devices(names)))


def _of_devices(names: set[str]) -> dict[str, st.SearchStrategy[str]]:
    return {key: st.sampled_from(values_of(key)) for key in KEYS if key.partition(".")[0] in names}


def outcome(lines: Lines) -> DomainDocument | None:
    try:
        return read(lines).definition
    except ConfigError:
        return None


def read(lines: Lines) -> Conversion:
    head = 'config.version = "8"\nvirtualHW.version = "7"\ndisplayName = "box"\n'
    return read_vmx(head + "".join(f'{key} = "{value}"\n' for key, value in lines.items()), files=FILES)


def matters(lines: Lines, key: str) -> bool:
    """Whether some other value of the key, or none, makes another domain."""
    others: Iterable[Lines] = ({**lines, key: value} for value in values_of(key))
    found = (outcome({k: v for k, v in lines.items() if k != key}), *map(outcome, others))
    return any(each is not None and each != outcome(lines) for each in found)


def is_told(key: str, warnings: Iterable[str]) -> bool:
    """By itself, with its device, or among others."""
    return any(key == each or key.startswith(f"{each}.") for each in warnings)


@given(machines())
def test_each_key_of_a_vmx_matters_or_is_told(lines: Lines) -> None:
    if outcome(lines) is None:
        return
    warnings = [problem.xpath for problem in read(lines).warnings]
    for key, value in lines.items():
        assert is_told(key, warnings) or is_default(key, value) or matters(lines, key), (key, value)


@given(machines())
def test_what_is_read_of_a_vmx_is_written_again(lines: Lines) -> None:
    definition = outcome(lines)
    if definition is None or any("can't be defined" in problem.reason for problem in read(lines).warnings):
        return
    text = write_vmx(definition)
    assert lost(definition, text) == []
    for problem in text.warnings:  # sizes are rounded, free ports are anybody's, and addresses are of their range
        assert re.search("vram|port|mac/@type", problem.xpath), problem


# ---------------------------------------------------------------------------- of a domain

PARTS = {
    "disk": [
        "type='file' device='{image}'>{driver}<source file='{file}'/><target dev='{dev}'{bus}/>{more}",
        "type='block' device='{disk}'>{driver}<source dev='/dev/sr0'{policy}/><target dev='{dev}'{bus}/>{more}",
        "type='file' device='{image}'><target dev='{dev}'{bus}/>{address}",
    ],
    "controller": ["type='scsi'{index}{model}>", "type='sata'{index}>", "type='ide'{index}>", "type='ccid'{index}>"],
    "interface": [
        "type='bridge'>{mac}<source bridge='{name}'/>{vnet}{card}", "type='user'>{mac}{card}", "type='null'>{mac}",
        "type='network'>{mac}<source network='n'/>", "type='bridge'>{vnet}{card}<mtu size='9000'/>",
    ],
    "serial": [
        "type='file'><source path='/a'{append}/>{port}", "type='tcp'><source{mode} host='h' service='7'/>{port}",
    ],
    "parallel": ["type='dev'><source path='/dev/lp0'/>{port}", "type='pty'>"],
    "console": ["type='file'><source path='/a'{append}/>", "type='pty'><target type='virtio'/>"],
    "graphics": ["type='vnc' port='5900'{listen}>{listens}", "type='vnc' autoport='yes'>", "type='spice'>"],
    "video": ["><model type='vmvga'{vram}/>", "><model type='qxl'/>"],
    "filesystem": ["type='mount'{access}><source dir='/a'/><target dir='{name}'/>{readonly}"],
    "input": ["type='mouse'>", "type='tablet' bus='usb'>"],
    "sound": ["model='ich9'>"],
}  # fmt: skip
FILLED = {
    "disk": ["disk", "cdrom", "floppy", "lun"], "image": ["disk", "cdrom", "floppy"],
    "file": ["[d] a.vmdk", "/a.iso", "/vmfs/volumes/d/a.vmdk"],
    "driver": ["", "<driver name='qemu'/>", "<driver name='lsilogic' cache='writethrough'/>", "<driver cache='none'/>"],
    "dev": ["sda", "sdq", "hdb", "fda"], "bus": ["", " bus='scsi'", " bus='sata'", " bus='ide'", " bus='fdc'"],
    "policy": ["", " startupPolicy='optional'"],
    "more": ["", "<readonly/>", "<transient/>", "<serial>7</serial>", "<transient/><boot order='1'/>"],
    "address": ["", "<address type='drive' controller='1' bus='0' target='0' unit='2'/>"],
    "index": ["", " index='0'", " index='3'", " index='7'"], "model": ["", " model='lsilogic'", " model='auto'"],
    "name": ["a", "VMnet0"], "vnet": ["", "<target dev='vnet0'/>", "<target dev='vmnet7'/>"],
    "mac": ["", *(f"<mac address='{mac}'{kind}/>" for mac in MAC.split("|") for kind in ("", " type='static'"))],
    "card": ["", "<model type='E1000'/>", "<model type='vmxnet2'/>", "<model type='virtio'/>"],
    "append": ["", " append='on'"], "mode": ["", " mode='bind'", " mode='connect'"],
    "port": ["", "<target port='0'/>", "<target port='2'/>"], "listen": ["", " listen='10.0.0.1'"],
    "listens": ["", "<listen type='address' address='10.0.0.1'/>" * 2, "<listen type='network' network='n'/>"],
    "vram": ["", " vram='4096'", " vram='4097'"], "access": ["", " accessmode='mapped'"],
    "readonly": ["", "<readonly/>"],
}  # fmt: skip
AROUND = [
    "<title>t</title>", "<description>a\nb</description>", "<currentMemory>1023</currentMemory>",
    "<memtune><min_guarantee>1025</min_guarantee></memtune>", "<vcpu cpuset='0-3,^2' current='1'>2</vcpu>",
    "<cputune><shares>7</shares></cputune>", "<features><acpi/><hap/></features>",
    "<cpu><topology sockets='1' cores='1' threads='1'/></cpu>", "<on_crash>restart</on_crash>",
    "<clock offset='localtime'/>",
]  # fmt: skip
#: Where what is said may be so of every machine, or be said elsewhere.
ELSEWHERE = re.compile(
    "/domain/(features|cpu|memtune|devices/(input|controller(/@model)?|disk/(driver(/@name)?|source/@file)|interface/(target|"
    "model/@type)|(serial|parallel)/target))"
)


def lost(definition: DomainDocument, text: NativeText) -> list[str]:
    """What is not the same when the text is read, without a warning of it, or of what it is in, or of a part of it."""
    told = [_tags(problem.xpath) for problem in text.warnings]
    again = read_vmx(text.text).definition
    found = [each for each in differences(definition, again, "/domain") if each.kind != "added" and each.of != "order"]
    return [
        str(each)
        for each in found
        if not any(_tags(each.xpath).startswith(path) or path.startswith(_tags(each.xpath)) for path in told)
        and not ELSEWHERE.fullmatch(_tags(each.xpath))
    ]


def _tags(xpath: str) -> str:
    return re.sub(r"\[[^\]]*\]", "", xpath)


def devices(tag: str) -> st.SearchStrategy[str]:
    filled = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in FILLED.items()})
    return st.tuples(st.sampled_from(PARTS[tag]), filled).map(
        lambda found: f"<{tag} {found[0].format_map(found[1])}</{tag}>"
    )


#: One of each, since those that are told apart by their place alone could be taken for each other.
ONE_OF_EACH = st.fixed_dictionaries({}, optional={tag: devices(tag) for tag in PARTS})


@given(ONE_OF_EACH, st.sets(st.sampled_from(AROUND), max_size=3))
def test_each_part_of_a_domain_is_read_back_or_told(inside: dict[str, str], around: set[str]) -> None:
    domain = (
        "<domain type='vmware'><name>box</name><memory unit='MiB'>64</memory><os><type arch='x86_64'>hvm</type></os>"
        f"{''.join(sorted(around))}<devices>{''.join(inside.values())}</devices></domain>"
    )
    definition = parse(domain, validate=False)
    assert isinstance(definition, DomainDocument)
    try:
        text = write_vmx(definition)
    except UnsupportedConfig:
        return
    assert lost(definition, text) == []
