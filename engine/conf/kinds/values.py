"""The values that documents of several kinds have.

Source: libvirt's documentation of its formats; how strictly each is taken is as in libvirt 9's own validation.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from engine.conf.nodes.values import Number, Pattern, Secret, Words
from engine.conf.spellings import canonical_mac, canonical_set
from engine.util.uuids import canonical_uuid

__all__ = [
    "AbsDirPath",
    "AbsFilePath",
    "Arch",
    "CcwCssid",
    "CcwDevno",
    "CcwSsid",
    "CpuSet",
    "DeviceName",
    "DiskTargetName",
    "DnsName",
    "DottedName",
    "FilePath",
    "GenericName",
    "HexNumber",
    "HostName",
    "IPAddress",
    "IPPrefix",
    "IPv4Address",
    "IPv4Prefix",
    "IPv6Address",
    "Int",
    "Integer",
    "Long",
    "LooseUnsignedInt",
    "LooseUnsignedLong",
    "MacAddress",
    "ObjectName",
    "ObjectNameWithSlash",
    "OctalMode",
    "OnOff",
    "PciBus",
    "PciDomain",
    "PciFunction",
    "PciSlot",
    "PlainName",
    "PortNumber",
    "PositiveInt",
    "SecretText",
    "UInt8",
    "UInt16",
    "UInt24",
    "UInt32",
    "UnicastMac",
    "Unit",
    "UnsignedInt",
    "UnsignedLong",
    "UnsignedShort",
    "Uuid",
    "UuidOrNothing",
    "VariableName",
    "VlanId",
    "VolumeName",
    "Wwn",
    "XmlName",
    "XsdUnsignedInt",
    "XsdUnsignedLong",
    "YesNo",
]

SecretText = Annotated[str, Secret()]

YesNo = Annotated[bool, Words("yesNo", "yes", "no")]
OnOff = Annotated[bool, Words("onOff", "on", "off")]

UnsignedInt = Annotated[int, Number("unsignedInt", 0, 2**32 - 1)]
UnsignedLong = Annotated[int, Number("unsignedLong", 0, 2**64 - 1)]
PositiveInt = Annotated[int, Number("positiveInteger", 1)]
LooseUnsignedInt = Annotated[int, Number("looseUnsignedInt", 0, 2**32 - 1, plain="[+-]?[0-9]+")]
LooseUnsignedLong = Annotated[int, Number("looseUnsignedLong", 0, 2**64 - 1, plain="[+-]?[0-9]+")]
HexNumber = Annotated[
    int, Number("hexNumber", pattern="(0x)?[0-9a-f]+", plain="", as_hex=1, what="a hexadecimal number")
]
OctalMode = Annotated[int, Number("octalMode", 0, 2**32 - 1, plain="[0-7]+", base=8, what="an octal file mode")]
PortNumber = Annotated[int, Number("portNumber", -1, 65535, plain="[+-]?[0-9]+", what="a port, or -1")]
Integer = Annotated[int, Number("integer", -(2**63), plain="[+-]?[0-9]+", what="a whole number")]
Int = Annotated[int, Number("int", -(2**31), 2**31 - 1, plain="[+-]?[0-9]+")]
Long = Annotated[int, Number("long", -(2**63), 2**63 - 1, plain="[+-]?[0-9]+", what="a whole number")]
# as XML Schema's own types take them: with a + too
XsdUnsignedInt = Annotated[int, Number("xsdUnsignedInt", 0, 2**32 - 1, plain="[+]?[0-9]+")]
XsdUnsignedLong = Annotated[int, Number("xsdUnsignedLong", 0, 2**64 - 1, plain="[+]?[0-9]+")]
VlanId = Annotated[int, Number("vlanId", 0, 4095, plain="[+]?[0-9]+")]

_DECIMAL = "[+-]?[0-9]+"
UInt8 = Annotated[int, Number("uint8", 0, 255, pattern="0x[0-9a-fA-F]{1,2}", plain=_DECIMAL, as_hex=2)]
UInt16 = Annotated[int, Number("uint16", 0, 65535, pattern="(0x)?[0-9a-fA-F]{1,4}", plain=_DECIMAL, as_hex=4)]
UInt24 = Annotated[int, Number("uint24", 0, 2**24 - 1, pattern="0x[0-9a-fA-F]{1,6}", plain=_DECIMAL, as_hex=6)]
UInt32 = Annotated[int, Number("uint32", 0, 2**32 - 1, pattern="(0x)?[0-9a-fA-F]{1,8}", plain=_DECIMAL, as_hex=8)]
PciDomain = Annotated[int, Number("pciDomain", 0, 2**32 - 1, pattern="(0x)?[0-9a-fA-F]{1,8}", plain=_DECIMAL, as_hex=4)]
PciBus = UInt8
PciSlot = Annotated[int, Number("pciSlot", 0, 31, pattern="(0x)?[0-1]?[0-9a-fA-F]", plain=_DECIMAL, as_hex=2)]
UnsignedShort = Annotated[int, Number("unsignedShort", 0, 65535, plain=_DECIMAL)]
PciFunction = Annotated[int, Number("pciFunction", 0, 7, pattern="(0x)?[0-7]", plain=_DECIMAL, as_hex=1)]
CcwCssid = Annotated[
    int, Number("ccwCssid", 0, 254, pattern="0x[0-9a-eA-E][0-9a-fA-F]?|0x[fF][0-9a-eA-E]?", plain=_DECIMAL, as_hex=2)
]
CcwSsid = Annotated[int, Number("ccwSsid", 0, 3, pattern="(0x)?[0-3]", plain="", as_hex=1, what="0 to 3")]
CcwDevno = Annotated[int, Number("ccwDevno", 0, 65535, pattern="0x[0-9a-fA-F]{1,4}", plain=_DECIMAL, as_hex=4)]

Uuid = Annotated[
    str,
    Pattern(
        "uuid",
        r"[a-fA-F0-9]{32}|[a-fA-F0-9]{8}\-([a-fA-F0-9]{4}\-){3}[a-fA-F0-9]{12}",
        "a UUID",
        canonical=canonical_uuid,
    ),
]
UuidOrNothing = Annotated[
    str,
    Pattern(
        "uuidOrNothing",
        r"[a-fA-F0-9]{32}|[a-fA-F0-9]{8}\-([a-fA-F0-9]{4}\-){3}[a-fA-F0-9]{12}|\s*",
        "a UUID",
        canonical=canonical_uuid,
    ),
]
MacAddress = Annotated[
    str,
    Pattern(
        "macAddress",
        "[a-fA-F0-9]{2}(:[a-fA-F0-9]{2}){5}",
        "a MAC address such as 52:54:00:12:34:56",
        canonical=canonical_mac,
    ),
]
UnicastMac = Annotated[
    str,
    Pattern(
        "unicastMac",
        "[a-fA-F0-9][02468aAcCeE](:[a-fA-F0-9]{2}){5}",
        "the MAC address of one card (its first byte is even), such as 52:54:00:12:34:56",
        canonical=canonical_mac,
    ),
]

_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"({_BYTE}\.){{3}}{_BYTE}"
_GROUP = "[0-9A-Fa-f]{1,4}"
# as many groups as there are without "::", or fewer with it, and perhaps an IPv4 address for the last two
_IPV6 = "|".join(
    (
        f"({_GROUP}:){{7}}{_GROUP}",
        f"({_GROUP}:){{1,7}}:",
        *(f"({_GROUP}:){{{before}}}(:{_GROUP}){{1,{7 - before}}}" for before in range(1, 7)),
        f":(:{_GROUP}){{1,7}}",
        "::",
        f"({_GROUP}:){{6}}{_IPV4}",
        f"({_GROUP}:){{0,5}}:{_IPV4}",
        f"::({_GROUP}:){{0,5}}{_IPV4}",
    )
)
IPv4Address = Annotated[str, Pattern("ipv4Address", _IPV4, "an IPv4 address")]
IPv6Address = Annotated[str, Pattern("ipv6Address", _IPV6, "an IPv6 address")]
IPAddress = Annotated[str, Pattern("ipAddress", f"{_IPV4}|{_IPV6}", "an IP address")]
IPPrefix = Annotated[int, Number("ipPrefix", 0, 128, plain="[+]?[0-9]+")]
IPv4Prefix = Annotated[int, Number("ipv4Prefix", 0, 32, plain="[+]?[0-9]+")]

ObjectName = Annotated[str, Pattern("objectName", r"[^/\n]+", "a name, without slashes")]
ObjectNameWithSlash = Annotated[str, Pattern("objectNameWithSlash", r"[^\n]+", "a name")]
GenericName = Annotated[str, Pattern("genericName", r"[a-zA-Z0-9_\+\-]+", "a name of letters, digits, _, + and -")]
DnsName = Annotated[str, Pattern("dnsName", r"[a-zA-Z0-9\.\-]+", "a host name")]
HostName: TypeAlias = DnsName | IPAddress
DeviceName = Annotated[
    str, Pattern("deviceName", r"[a-zA-Z0-9_\.\-\\:/]+", "a device name (letters, digits and _ . - \\ : /)")
]
PlainName = Annotated[str, Pattern("plainName", r"[a-zA-Z0-9_\-]+", "a name of letters, digits, _ and -")]
DottedName = Annotated[str, Pattern("dottedName", r"[a-zA-Z0-9_\-.]+", "a name of letters, digits, _, - and .")]
VariableName = Annotated[str, Pattern("variableName", "[a-zA-Z0-9_]+", "a variable's name (letters, digits and _)")]
# the letters that names in XML may begin with
_START = (
    "A-Z_a-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1fff"
    "\u200c\u200d\u2070-\u218f\u2c00-\u2fef\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd"
)
XmlName = Annotated[
    str,
    Pattern(
        "xmlName",
        f"[{_START}][{_START}0-9.\u00b7\u0300-\u036f\u203f\u2040\\-]*",
        "a name that begins with a letter or _ and goes on with letters, digits and _ . -",
    ),
]
FilePath = Annotated[str, Pattern("filePath", ".+", "a path")]
AbsFilePath = Annotated[str, Pattern("absFilePath", r"(/|[a-zA-Z]:\\).+", "an absolute path")]
AbsDirPath = Annotated[str, Pattern("absDirPath", "/.*", "an absolute path")]
VolumeName = Annotated[str, Pattern("volumeName", "[^/]+", "a volume's name, without slashes", but=(".", ".."))]
Wwn = Annotated[str, Pattern("wwn", "(0x)?[0-9a-fA-F]{16}", "a world wide name of 16 hexadecimal digits")]
CpuSet = Annotated[
    str,
    Pattern(
        "cpuSet",
        r"([0-9]+(-[0-9]+)?|\^[0-9]+)(,([0-9]+(-[0-9]+)?|\^[0-9]+))*",
        "a set of CPUs such as 0-3,^2,8",
        canonical=canonical_set,
    ),
]
DiskTargetName = Annotated[
    str,
    Pattern("diskTargetName", "(ioemu:)?(fd|hd|sd|vd|xvd|ubd)[a-zA-Z0-9_]+", "a disk's name such as vda, sdb or hdc"),
]
Unit = Annotated[
    str,
    Pattern(
        "unit",
        "([bB]([yY][tT][eE][sS]?)?)|([kKmMgGtTpPeE]([iI]?[bB])?)",
        "a unit of size: bytes, KB, KiB, MB, MiB, GB, GiB, TB, TiB, PB, PiB, EB or EiB",
    ),
]

Arch = Literal[
    "x86_64", "aarch64", "alpha", "armv6l", "armv7l", "cris", "i686", "ia64", "lm32", "m68k", "microblaze",
    "microblazeel", "mips", "mipsel", "mips64", "mips64el", "openrisc", "parisc", "parisc64", "ppc", "ppc64", "ppc64le",
    "ppcemb", "riscv32", "riscv64", "s390", "s390x", "sh4", "sh4eb", "sparc", "sparc64", "unicore32", "xtensa",
    "xtensaeb",
]  # fmt: skip
