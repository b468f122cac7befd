"""Keys that need no warning of their own, because nothing is lost with them.

Source: VMware's public lists of .vmx parameters. Some say what would be so without them; others are notes of VMware's
own, or name files that it makes again.
"""

from __future__ import annotations

import re

__all__ = ["is_default", "is_note"]

#: Patterns of keys, and the values that they have when they are not there; all in lower case.
_DEFAULTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    # of other devices nobody says what is so when they are not named, or they are there then
    (r"(scsi|sata|nvme|ide|usb|usb_xhci|ehci)\d*(:\d+)*\.present", ("false",)),
    (r"(ethernet|serial|parallel|sharedfolder|sound|floppy[1-9]|vtpm|battery|smc)\d*\.present", ("false",)),
    (r".*\.startconnected", ("true",)),
    (r".*\.(clientdevice|writethrough|autodetect)", ("false",)),
    (r".*\.redo", ("",)),
    (r".*\.mode", ("persistent",)),
    (r".*\.sharedbus", ("none",)),
    (r".*\.(allowguestconnectioncontrol|linkstatepropagation\.enable)", ("false",)),
    (r".*\.wakeonpcktrcv", ("true",)),
    (r".*\.uptcompatibility", ("true",)),
    (r"sched\.(cpu|mem)\.min(size)?", ("0",)),
    (r"sched\.(cpu|mem)\.max", ("unlimited", "-1")),
    (r"sched\.cpu\.(units|affinity)", ("mhz", "all")),
    (r"sched\.(mem|swap|(scsi|ide|sata|nvme)\d+:\d+)\.shares", ("normal",)),
    (r"sched\..*\.throughputcap", ("off", "unlimited")),
    (r"sched\.cpu\.latencysensitivity", ("normal",)),
    (r"tools\.(synctime|guest\.desktop\.autolock)", ("false",)),
    (r"toolscripts\..*", ("true",)),
    (r"powertype\..*", ("default", "soft", "hard")),
    (r"cpuid\.corespersocket", ("1",)),
    (r"ethernet\d+\.addresstype", ("generated",)),
    (r"serial\d+\.(pipe\.endpoint|trynorxloss)", ("client", "false")),
    (r"firmware", ("bios",)),
    (r"svga\.present", ("true",)),
    (r"isolation\.tools\.hgfs\.disable", ("true",)),
    (r"remotedisplay\.vnc\.enabled", ("false",)),
    (r"(mks\.enable3d|vhv\.enable|vvtd\.enable|smbios\.reflecthost|uefi\.secureboot\.enabled)", ("false",)),
)
#: Patterns of keys that hold no configuration of the guest.
_NOTES: tuple[str, ...] = (
    r"config\.version",
    r"virtualhw\.(version|productcompatibility)",
    r"(checkpoint|snapshot|migrate|vmotion|replay|monitor|messagebus|toolsinstallmanager|debugstub|log)\..*",
    r"(uuid\.(location|action)|vc\.uuid|extendedconfigfile|nvram|cleanshutdown|softpoweroff|invmteam)",
    r"(deploymentplatform|guestosaltname|guestos|guestos\.detailed\.data|guestinfo\.detailed\.data|numa\..*)",
    r"tools\.(upgrade\.policy|remindinstall)",
    r"sched\.swap\.(derivedname|dir)",
    r".*\.(pcislotnumber|saswwid|externalid|pvnid|generatedaddressoffset)",
    r"pcibridge\d+\..*",
    r"vmci0\..*",
    r"(workingdir|gui\..*|hints?\..*|answer\..*|viv\..*|policy\.vm\..*|svga\.(autodetect|guestbackedprimaryaware))",
    r"(memtrimrate|memallowautoscaledown|mem\.hotadd|sharedfolder\.maxnum|chipset\.onlinestandby)",
)
_DEFAULT_OF = tuple((re.compile(pattern), values) for pattern, values in _DEFAULTS)
_NOTE = re.compile("|".join(f"(?:{pattern})" for pattern in _NOTES))


def is_default(key: str, value: str) -> bool:
    """Whether the guest is the same without it."""
    key, value = key.lower(), value.lower()
    return any(value in values and pattern.fullmatch(key) for pattern, values in _DEFAULT_OF)


def is_note(key: str) -> bool:
    """Whether it holds no configuration of the guest."""
    return _NOTE.fullmatch(key.lower()) is not None
