"""Xen's configurations to definitions and back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.conf.documents import format as written
from engine.conf.documents import parse, validate
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.native import Host, from_native, to_native
from engine.errors import ConfigError

HVM = 'name = "box"\nmemory = 512\nvcpus = 1\ntype = "hvm"\n'
PV = 'name = "box"\nmemory = 512\nvcpus = 1\nkernel = "/boot/vmlinuz"\n'


def elements(text: str, tag: str, form: str = "xen-xl") -> list[str]:
    """The elements of that name in the document, without the spaces between tags."""
    document = written(from_native(form, text).definition)
    assert not [problem for problem in validate(document) if problem.severity == "error"]
    flat = re.sub(r">\s+<", "><", document).replace('"', "'")
    return re.findall(rf"<{tag}(?: [^>]*)?/>|<{tag}(?: [^>]*[^/])?>.*?</{tag}>", flat)


def told(text: str, form: str = "xen-xl") -> list[tuple[int, str]]:
    return [(each.line, each.xpath) for each in from_native(form, text).warnings]


def lines(text: str, form: str = "xen-xl") -> list[str]:
    """What the definition is written as, which has to say all of it."""
    native = to_native(form, from_native(form, text).definition)
    assert not native.warnings
    return native.text.splitlines()


# ---------------------------------------------------------------------------- the guest


@pytest.mark.parametrize(
    ("said", "type_"),
    [
        ("type = 'hvm'", "<type arch='x86_64' machine='xenfv'>hvm</type>"),
        ("builder = 'hvm'", "<type arch='x86_64' machine='xenfv'>hvm</type>"),
        ("type = 'pv'", "<type arch='x86_64' machine='xenpv'>linux</type>"),
        ("builder = 'linux'", "<type arch='x86_64' machine='xenpv'>linux</type>"),
        ("", "<type arch='x86_64' machine='xenpv'>linux</type>"),
        ("type = 'pvh'", "<type arch='x86_64' machine='xenpvh'>xenpvh</type>"),
    ],
)
def test_kinds_of_guests(said: str, type_: str) -> None:
    assert elements(f"name = 'box'\n{said}\n", "type") == [type_]


def test_what_the_text_leaves_to_the_host() -> None:
    host = Host(uuid="c7a5fdbd-edaf-9455-926a-d65c16db1809", arch="i686", hvm_loader="/fw", virtualization="svm")
    definition = from_native("xen-xl", f"{HVM}nestedhvm = 0\n", host=host).definition
    document = written(definition)
    assert definition.uuid == host.uuid
    assert 'arch="i686"' in document
    assert ">/fw<" in document
    assert 'name="svm"' in document


def test_memory_is_in_megabytes_and_written_rounded_up() -> None:
    text = f"{PV}maxmem = 1024\n"
    assert elements(text, "memory") == ["<memory unit='KiB'>1048576</memory>"]
    assert elements(text, "currentMemory") == ["<currentMemory unit='KiB'>524288</currentMemory>"]
    odd = parse(written(from_native("xen-xl", text).definition).replace(">1048576<", ">1048575<"))
    assert isinstance(odd, DomainDocument)
    native = to_native("xen-xl", odd)
    assert "maxmem = 1024" in native.text
    assert [each.xpath for each in native.warnings] == ["/domain/memory"]


@pytest.mark.parametrize(
    ("said", "vcpu"),
    [
        ("maxvcpus = 4", "<vcpu placement='static' current='1'>4</vcpu>"),
        ("cpus = '0-3,^1,7'", "<vcpu placement='static' cpuset='0,2-3,7'>1</vcpu>"),
        ("cpus = 'all'", "<vcpu placement='static'>1</vcpu>"),
    ],
)
def test_cpus(said: str, vcpu: str) -> None:
    assert elements(f"{PV}{said}\n", "vcpu") == [vcpu]


def test_each_cpu_by_itself() -> None:
    text = f"{PV}maxvcpus = 3\ncpus = ['2', 'all', '4-5']\n"
    assert elements(text, "vcpupin") == ["<vcpupin vcpu='0' cpuset='2'/>", "<vcpupin vcpu='2' cpuset='4-5'/>"]
    assert 'cpus = [ "2", "all", "4-5" ]' in lines(text)


def test_features_of_the_cpu_are_translated() -> None:
    text = f"{HVM}nestedhvm = 0\ncpuid = 'host,sse3=0,tm=1,htt=k,family=5'\n"
    names = re.findall(r"policy='(\w+)' name='(\w+)'", elements(text, "cpu")[0])
    assert names == [("disable", "vmx"), ("disable", "pni"), ("force", "tm"), ("optional", "ht")]
    assert told(text) == [(6, "cpuid/family")]
    assert {"nestedhvm = 0", 'cpuid = "host,sse3=0,tm=1,htt=x"'} <= set(lines(text))


def test_distances_that_are_not_said_are_those_of_the_way_back() -> None:
    text = f"{HVM}vnuma = [['size=256', 'vcpus=0', 'vdistances=10,31'], ['size=256', 'pnode=5']]\n"
    assert told(text) == [(5, "vnuma[2]/pnode")]
    expected = (
        '[ [ "pnode=0", "size=256", "vcpus=0", "vdistances=10,31" ], [ "pnode=1", "size=256", "vdistances=31,10" ] ]'
    )
    assert expected in to_native("xen-xl", from_native("xen-xl", text).definition).text


def test_what_is_booted() -> None:
    text = f"{HVM}kernel = '/k'\nramdisk = '/i'\nroot = '/dev/xvda'\nextra = 'quiet'\nboot = 'ncd'\nbios = 'ovmf'\n"
    (os,) = elements(text, "os")
    assert "<cmdline>root=/dev/xvda quiet</cmdline>" in os
    assert re.findall("dev='(.*?)'", os) == ["network", "hd", "cdrom"]
    assert "<loader readonly='yes' type='pflash'>" in os
    assert {'cmdline = "root=/dev/xvda quiet"', 'boot = "ncd"', 'bios = "ovmf"'} <= set(lines(text))
    assert told(f"{text}cmdline = 'x'\n") == [(7, "root"), (8, "extra")]


def test_xm_has_the_firmware_for_a_kernel() -> None:
    text = f"{HVM}kernel = '/fw'\nboot = 'a'\n"
    assert elements(text, "loader", "xen-xm") == ["<loader type='rom'>/fw</loader>"]
    assert 'kernel = "/fw"' in lines(text, "xen-xm")
    paravirtual = f"{PV}root = '/dev/xvda1 ro'\nextra = 'quiet'\n"
    assert elements(paravirtual, "root", "xen-xm") == ["<root>/dev/xvda1 ro</root>"]
    assert {'root = "/dev/xvda1 ro"', 'extra = "quiet"'} <= set(lines(paravirtual, "xen-xm"))


def test_time() -> None:
    text = f"{HVM}localtime = 1\nrtc_timeoffset = -3600\ntsc_mode = 'native'\nhpet = 0\n"
    (clock,) = elements(text, "clock")
    assert "adjustment='-3600'" in clock
    assert "basis='localtime'" in clock
    assert {"localtime = 1", "rtc_timeoffset = -3600", 'tsc_mode = "native"', "hpet = 0"} <= set(lines(text))
    assert elements(f"{PV}localtime = 1\n", "clock") == ["<clock offset='localtime' adjustment='reset'/>"]


# ---------------------------------------------------------------------------- devices


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("/dev/vg/a,,hda", ["type='file'", "name='qemu' type='raw'", "bus='ide'"]),
        ("/dev/vg/a,raw,hda,rw,backendtype=phy", ["type='block'", "name='phy' type='raw'", "dev='/dev/vg/a'"]),
        ("format=qcow2, vdev=xvda, access=ro, target=/a,b", ["name='qemu' type='qcow2'", "file='/a,b'", "<readonly/>"]),
        ("qcow2:/a,sdb,w", ["type='qcow2'", "bus='scsi'", "unit='1'"]),
        ("raw:/root/image.iso,hdc:cdrom,ro", ["device='cdrom'", "<readonly/>", "bus='1'"]),
        ("/root/image.iso,,hdc,cdrom", ["device='cdrom'", "file='/root/image.iso'"]),
        (",hdc:cdrom,r", ["device='cdrom'", "<target dev='hdc' bus='ide'/>"]),
        ("vg/a,,xvda,,backend=storage,no-discard", ["/dev/vg/a", "name='storage'", "discard='ignore'"]),
    ],
)
def test_disks_of_xl(spec: str, parts: list[str]) -> None:
    text = f'{HVM}disk = [ "{spec}" ]\n'
    (disk,) = elements(text, "disk")
    assert [part for part in parts if part not in disk] == []
    assert not told(text)
    lines(text)


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("p/i", ["name='p/i'/>"]),
        ("p/i@s", ["name='p/i'>", "<snapshot name='s'/>"]),
        (r"p/i\\:conf=/evil.conf", ["name='p/i:conf=/evil.conf'/>"]),
        (r"p/i\\@s\\=\\\\@t:conf=/a\\:b", [r"name='p/i@s=\'>", "<snapshot name='t'/>", "<config file='/a:b'/>"]),
    ],
)
def test_names_of_images_are_names_only(target: str, parts: list[str]) -> None:
    text = f'{PV}disk = [ "vdev=xvda,target=rbd:{target}" ]\n'
    (disk,) = elements(text, "disk")
    assert [part for part in parts if part not in disk] == []
    conversion = from_native("xen-xl", text)
    again = from_native("xen-xl", to_native("xen-xl", conversion.definition).text)
    assert again.definition == conversion.definition
    lines(text)


def test_options_of_an_image_that_definitions_have_not_are_told() -> None:
    text = f"{PV}disk = ['vdev=xvda,target=rbd:p/i:id=admin:key=AQ==:auth_supported=cephx:rest:conf=/a:conf=/b']\n"
    assert [where for _, where in told(text)] == [
        f"disk[1]/{each}" for each in ("id", "key", "auth_supported", "?", "conf")
    ]


def test_images_of_ceph() -> None:
    target = r"rbd:pool/image:auth_supported=none:mon_host=one\\:6321\\;[2001:db8::1]\\:6322"
    text = f'{PV}disk = [ "format=raw,vdev=xvda,access=rw,backendtype=qdisk,target={target.replace("::", "::")}" ]\n'
    text = text.replace("2001:db8::1", r"2001\\:db8\\:\\:1")
    (disk,) = elements(text, "disk")
    assert "<host name='one' port='6321'/><host name='2001:db8::1' port='6322'/>" in disk
    assert text.splitlines()[-1] in lines(text)


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("phy:/dev/a,hda,w", ["type='block'", "name='phy'"]),
        ("file:/a,hdb,r", ["type='file'", "name='file' type='raw'", "<readonly/>"]),
        ("tap:qcow2:/a,xvda,w!", ["name='tap' type='qcow2'", "<shareable/>"]),
        ("tap2:aio:/a,ioemu:hda,w", ["name='tap2' type='raw'", "dev='hda'"]),
        (",hdc:cdrom,r", ["type='block'", "device='cdrom'"]),
    ],
)
def test_disks_of_xm(spec: str, parts: list[str]) -> None:
    text = f"{HVM}disk = [ '{spec}' ]\n"
    (disk,) = elements(text, "disk", "xen-xm")
    assert [part for part in parts if part not in disk] == []
    assert f'disk = [ "{spec.replace("ioemu:", "")}" ]' in lines(text, "xen-xm")


def test_cards() -> None:
    spec = (
        "mac=00:16:3e:00:00:01,bridge=br0.5:6:7,ip=10.0.0.1 ::1,script=vif-openvswitch,type=vif,vifname=n0,rate=2MB/s"
    )
    text = f'{HVM}vif = [ "{spec}", "" ]\n'
    first, second = elements(text, "interface")
    assert "<tag id='5' nativeMode='untagged'/><tag id='6'/><tag id='7'/>" in first
    assert "<model type='netfront'/>" in first
    assert "<outbound average='2048'/>" in first
    assert second == "<interface type='ethernet'/>"
    assert f'vif = [ "{spec.replace("2MB", "2048KB")}", "" ]' in lines(text)


def test_a_card_that_xen_has_not_is_told() -> None:
    definition = from_native("xen-xl", f"{PV}vif = ['bridge=br0']\n").definition
    document = written(definition).replace('type="bridge"', 'type="network"').replace('bridge="br0"', 'network="net"')
    changed = parse(document)
    assert isinstance(changed, DomainDocument)
    native = to_native("xen-xl", changed)
    assert "vif" not in native.text
    assert [each.xpath for each in native.warnings] == ["/domain/devices/interface[1]"]
    assert native.warnings[0].line == document.splitlines().index('    <interface type="network">') + 1


@pytest.mark.parametrize(
    ("port", "inside"),
    [
        ("pty", ""),
        ("/dev/ttyS0", "<source path='/dev/ttyS0'/>"),
        ("file:/log", "<source path='/log'/>"),
        ("pipe:/p", "<source path='/p'/>"),
        ("tcp:h:1", "<source mode='connect' host='h' service='1'/><protocol type='raw'/>"),
        ("telnet:[::1]:1,server,nowait", "<source mode='bind' host='::1' service='1'/><protocol type='telnet'/>"),
        ("udp:h:1@:2", "<source mode='bind' service='2'/><source mode='connect' host='h' service='1'/>"),
        ("unix:/s,server,nowait", "<source mode='bind' path='/s'/>"),
    ],
)
def test_serial_ports(port: str, inside: str) -> None:
    text = f"{HVM}serial = '{port}'\n"
    (serial,) = elements(text, "serial")
    (console,) = elements(text, "console")
    assert f"{inside}<target port='0'/>" in serial
    assert f"{inside}<target type='serial' port='0'/>" in console
    assert f'serial = "{port}"' in lines(text)


def test_ports_keep_their_numbers() -> None:
    text = f"{HVM}serial = ['none', 'pty']\nparallel = 'none'\n"
    assert "<target port='1'/>" in elements(text, "serial")[0]
    assert 'serial = [ "none", "pty" ]' in lines(text)
    assert told(f"{HVM}serial = ['braille']\n") == [(5, "serial[1]")]


@pytest.mark.parametrize(
    ("said", "graphics"),
    [
        ("vnc = 1", "type='vnc' port='-1' autoport='yes'"),
        ("vnc = 1\nvncunused = 0\nvncdisplay = 3", "type='vnc' port='5903' autoport='no'"),
        ("vnc = 1\nvncunused = 0\nvnclisten = '::1'", "listen='::1'"),
        ("vnc = 1\nvncunused = 0\nvnclisten = '1.2.3.4:7'", "port='5907' autoport='no' listen='1.2.3.4'"),
        ("vnc = 0\nsdl = 1\ndisplay = ':1'", "type='sdl' display=':1'"),
        ("spice = 1\nspiceport = 6000\nspicepasswd = 'x'", "type='spice' port='6000' autoport='no' passwd='x'"),
    ],
)
def test_screens(said: str, graphics: str) -> None:
    (found,) = elements(f"{HVM}{said}\n", "graphics")
    attributes = set(re.findall(r"[\w-]+='[^']*'", graphics))
    assert attributes <= set(re.findall(r"[\w-]+='[^']*'", found))
    lines(f"{HVM}{said}\n")


def test_framebuffers() -> None:
    text = f"{PV}vfb = ['type=vnc,vncunused=1,vncpasswd=se,cret']\n"
    assert elements(text, "video")[0].startswith("<video><model")
    assert "type='xen'" in elements(text, "video")[0]
    conversion = from_native("xen-xl", text)
    assert [each.xpath for each in conversion.warnings] == ["vfb[1]/?"]
    assert not any("cret" in str(each) for each in conversion.warnings)


def test_devices_of_the_host() -> None:
    text = f"{HVM}pci = ['0000:01:1a.1,permissive=1', '02:00.0@5']\nusbdev = ['hostbus=1,hostaddr=3']\n"
    first, second, third = elements(text, "hostdev")
    assert "<source writeFiltering='no'>" in first
    assert "bus='0x02' slot='0x00'" in second
    assert "<address bus='1' device='3'/>" in third
    assert told(text) == [(5, "pci[2]/@")]
    assert 'pci = [ "0000:01:1a.1,permissive=1", "0000:02:00.0" ]' in lines(text)


def test_usb() -> None:
    text = f"{HVM}usb = 1\nusbdevice = ['tablet', 'host:046d:c016', 'disk:/a']\nusbctrl = ['version=1,ports=4']\n"
    assert elements(text, "input")[0] == "<input type='tablet' bus='usb'/>"
    assert "<vendor id='0x046d'/>" in elements(text, "hostdev")[0]
    assert "model='qusb1'" in elements(text, "controller")[0]
    assert told(text) == [(6, "usbdevice[3]")]
    assert 'usbdevice = [ "tablet", "host:046d:c016" ]' in lines(text)


# ---------------------------------------------------------------------------- what is told, and refused


def test_nothing_is_dropped_in_silence() -> None:
    text = f"{PV}nomigrate = 1\ndisk = ['/a,,xvda,w,script=block-x,colo']\nserial = 'pty'\n"
    assert told(text) == [(5, "nomigrate"), (6, "disk[1]/script"), (6, "disk[1]/colo"), (7, "serial")]


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ("device_model = '/a'\ndevice_model_override = '/b'", [(5, "device_model")]),
        ("firmware = 'bios'\nbios = 'ovmf'", [(6, "bios")]),
        ("firmware = '/x/y'\nfirmware_override = '/z'", [(5, "firmware")]),
        ("bios = 'ovmf'\nfirmware_override = '/z'", [(6, "firmware_override")]),
        ("kernel = '/hvmloader'\nbios = 'ovmf'", [(5, "kernel")]),
        ("builder = 'linux'", [(5, "builder")]),
        ("builder = 'hvm'", []),
        ("vnc = 1\nvga = 'cirrus'\nstdvga = 1", [(7, "stdvga")]),
        ("vga = 'none'\nstdvga = 1", [(6, "stdvga")]),
        ("videoram = 32", [(5, "videoram")]),
        ("usb = 1", [(5, "usb")]),
        ("vnc = 1\nsdl = 1", [(6, "sdl")]),
        ("vfb = ['type=vnc,sdl=1', 'type=gl']", [(5, "vfb[1]/sdl"), (5, "vfb[2]/type")]),
        ("vnc = 1\nvncunused = 0\nvnclisten = '::1'\nvncdisplay = 1", []),
        ("vnc = 1\nvncunused = 0\nvnclisten = '1.2.3.4:1'\nvncdisplay = 1", [(7, "vnclisten")]),
        ("vfb = ['vncunused=0,vncdisplay=2,vnclisten=a:1']", [(5, "vfb[1]/vnclisten")]),
        ("vfb = ['vncdisplay=2']\nvncdisplay = 3", [(5, "vfb[1]/vncdisplay"), (6, "vncdisplay")]),
        ("vif = ['bridge=a,bridge=b']", [(5, "vif[1]/bridge")]),
        ("vif = ['mac=00:16:3e:00:00:01,mac=00:16:3e:00:00:02']", [(5, "vif[1]/mac")]),
        ("vif = ['rate=100B/s', 'rate=2KB/s', 'rate=3Kb/s', 'rate=0KB/s']", [(5, "vif[1]/rate"), (5, "vif[3]/rate")]),
        ("vif = ['model=e1000,type=vif', 'type=ioemu', 'type=what']", [(5, "vif[1]/type"), (5, "vif[3]/type")]),
        ("disk = ['/a,raw,hdc,rw,devtype=cdrom']", [(5, "disk[1]/access")]),
        ("disk = ['vdev=hda,backendtype=what,target=/a']", [(5, "disk[1]/backendtype")]),
        ("disk = ['vdev=hda,devtype=lun,target=/a']", [(5, "disk[1]/devtype")]),
        ("disk = ['vdev=hda,format=qcow2,target=raw:/a']", [(5, "disk[1]/format")]),
        ("disk = ['/a,,hda,,discard,no-discard']", [(5, "disk[1]/discard")]),
        ("pci_permissive = 1", [(5, "pci_permissive")]),
        ("pci_permissive = 1\npci = ['01:00.0,permissive=0']", [(5, "pci_permissive")]),
        ("usbdev = ['hostbus=1,hostaddr=2,port=1']", [(5, "usbdev[1]/port")]),
        ("usbctrl = ['version=3,type=qusb', 'type=qusb']", [(5, "usbctrl[1]/type")]),
        ("channel = ['connection=pty,path=/a']", [(5, "channel[1]/path")]),
        ("serial = ['tcp:h:1,server,nowait,nodelay', 'vc:80x25']", [(5, "serial[1]/nodelay"), (5, "serial[2]/80x25")]),
        ("cpuid = 'host,vmx=1,tm=1,tm=0'\nnestedhvm = 0", [(5, "cpuid/tm"), (6, "nestedhvm")]),
        ("vnuma = [['size=1', 'size=2']]", [(5, "vnuma[1]/size")]),
        ("spice = 1\nspicevdagent = 0\nspiceagent_mouse = 1", [(6, "spicevdagent")]),
        ("device_model = '/a'\ndevice_model_override = ''", []),
    ],
)  # fmt: skip
def test_who_loses_is_told(said: str, where: list[tuple[int, str]]) -> None:
    assert told(f"{HVM}{said}\n") == where


def test_who_loses_is_told_for_guests_that_know_xen() -> None:
    text = f"{PV}vfb = ['']\nvnc = 1\nspice = 1\nrtc_timeoffset = 5\n"
    assert told(text) == [(6, "vnc"), (7, "spice"), (8, "rtc_timeoffset")]
    assert told(f"{PV}disk = ['phy:/a,hdc:cdrom,w']\n", "xen-xm") == [(5, "disk[1]/access")]


#: Values of settings, of which some may lose to others; some stand below lists as options.
SETTINGS: dict[str, list[str]] = {
    **{key: ["0", "1"] for key in (
        "vnc", "sdl", "spice", "stdvga", "usb", "localtime", "pci_permissive", "pci_seize", "nestedhvm", "hap", "pae",
        "acpi_s3", "hpet", "spicevdagent", "spiceagent_mouse", "spice_clipboard_sharing", "spicedisable_ticketing",
        "vncunused", "viridian", "e820_host",
    )},
    **{key: ["1", "2", "3"] for key in (
        "vcpus", "maxvcpus", "memory", "maxmem", "videoram", "vncdisplay", "rtc_timeoffset", "max_grant_frames",
        "spiceport",
    )},
    **{key: ["'/a'", "'/b'"] for key in (
        "device_model", "device_model_override", "firmware_override", "bios_path_override", "acpi_firmware", "ramdisk",
        "bootloader", "display", "spicepasswd", "vncpasswd", "root", "extra", "cmdline",
    )},
    "type": ["'hvm'", "'pv'", "'pvh'"], "builder": ["'hvm'", "'linux'"], "kernel": ["'/k'", "'/hvmloader'"],
    "firmware": ["'bios'", "'uefi'", "'/f'"], "bios": ["'ovmf'", "'seabios'"],
    "vga": ["'cirrus'", "'stdvga'", "'none'"], "boot": ["'c'", "'dn'"],
    "cpus": ["'1'", "['1', '2']"], "cpuid": ["'host,vmx=1'", "'host,tm=1'"],
    "vnclisten": ["'1.2.3.4:1'", "'::1'"], "vfb": ["['type=vnc']", "['type=sdl']", "['vnclisten=::1,sdl=1']"],
    "vif": ["['bridge=a']", "['mac=00:16:3e:00:00:01,bridge=a,bridge=b']"], "usbdevice": ["'tablet'", "['mouse']"],
    "disk": ["['vdev=hda,target=/a']", "['vdev=hda,target=rbd:p/i:id=a']"], "tsc_mode": ["'native'", "'default'"],
    "pci": ["['01:00.0']", "['01:00.0,permissive=1,seize=0']"], "serial": ["'pty'", "'vc:1'"],
    "soundhw": ["'hda'", "'sb16'"], "passthrough": ["'enabled'", "'disabled'"], "on_crash": ["'destroy'", "'preserve'"],
}  # fmt: skip


@given(
    st.dictionaries(st.sampled_from([*SETTINGS]), st.integers(0, 2), max_size=8),
    st.sampled_from(["xen-xl", "xen-xm"]),
)
@settings(max_examples=300)
def test_each_setting_changes_something_or_is_told(chosen: dict[str, int], form: str) -> None:
    def read(said: dict[str, str]) -> tuple[DomainDocument, list[str]] | None:
        try:
            text = "".join(f"{key} = {value}\n" for key, value in {"name": "'box'", **said}.items())
            conversion = from_native(form, text)
        except ConfigError:
            return None
        return conversion.definition, sorted(f"{each.xpath} {each.reason}" for each in conversion.warnings)

    said = {key: SETTINGS[key][number % len(SETTINGS[key])] for key, number in chosen.items()}
    found = read(said)
    for key in said if found else ():
        assert found is not None
        others = [read(said | {key: value}) for value in SETTINGS[key] if value != said[key]]
        assert any(re.match(rf"{key}\b", where) for where in found[1]) or any(other != found for other in others), key


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (f"{PV}maxvcpus = 2\nvcpus = 4\n", 6, "'vcpus' can't be more than 'maxvcpus'"),
        (f"{HVM}videoram = -5\n", 5, "'videoram' is a number of megabytes"),
        (f"{PV}disk = ['vdev=xvda,vdev=xvdb']\n", 5, "disk[1]: 'vdev' is said twice"),
        (f"{PV}vnuma = 'x'\n", 5, "'vnuma' is a list of nodes"),
        (f"{PV}cpus = [['1']]\n", 5, "'cpus' is a set of CPUs, or one for each"),
        ("memory = 1\n", None, "a guest needs a 'name'"),
        (f"{PV}type = 'arm'\n", 5, "'type' is one of hvm, pv, pvh"),
        (f"{PV}vif = [1]\n", 5, "'vif' is a list of strings in quotes"),
        (f"{PV}memory = 'much'\n", 5, "'memory' is a number"),
        (f"{PV}vif = ['mac=x']\n", 5, "'address' would have to be the MAC address"),
        (f"{PV}disk = ['/a']\n", 5, "disk[1]: a disk needs 'vdev', and a format"),
        (f"{PV}disk = ['vdev=xvda,target=rbd:']\n", 5, "disk[1]: after 'rbd:' there are a pool and an image"),
        (f"{PV}uuid = 'x'\n", 1, "'uuid' would have to be a UUID, not 'x'"),
        (f"{PV}pci = ['x']\n", 5, "pci[1]: a PCI device is named as 0000:01:00.0"),
        (f"{PV}cpus = '3-1'\n", 5, "the range '3-1' ends before it begins"),
        (b"name = '\xff'\n", 1, "the configuration is not in UTF-8"),
        ("\n\x07", 2, "U+0007 is no character of a text"),
    ],
)
def test_what_is_refused(text: str | bytes, line: int | None, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_native("xen-xl", text, source="guest.cfg")
    assert (caught.value.source, caught.value.line) == ("guest.cfg", line)
    assert reason in caught.value.reason


def test_only_guests_of_xen_are_written() -> None:
    document = parse("<domain type='kvm'><name>a</name><memory>1</memory><os><type>hvm</type></os></domain>")
    assert isinstance(document, DomainDocument)
    with pytest.raises(ConfigError, match="no guest of Xen"):
        to_native("xen-xl", document)


PIECES = st.sampled_from(
    [
        "name='a'\n",
        "disk=['",
        "vif=['",
        "vfb=['",
        "']\n",
        ",",
        "=",
        "mac",
        "bridge",
        "vdev=xvda,target=rbd:",
        ":",
        "' '",
    ]
)


@given(st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=20), st.sampled_from(["xen-xl", "xen-xm"]))
@settings(max_examples=150)
def test_any_text_is_read_or_refused(pieces: list[str], form: str) -> None:
    try:
        conversion = from_native(form, "".join(pieces))
        to_native(form, conversion.definition)
    except ConfigError:
        return
    assert not [problem for problem in validate(written(conversion.definition)) if problem.severity == "error"]
