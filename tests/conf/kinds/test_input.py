"""Input devices, hubs, smart cards, random numbers and TPMs."""

from __future__ import annotations

from typing import Any

import pytest
from support.elements import problems_of, read, rewritten

from engine.conf.kinds.domain.input import Hub, Input, Rng, Smartcard, Tpm

CERTIFICATES = "<certificate>a</certificate><certificate>b</certificate><certificate/>"
UUID = "09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f"


@pytest.mark.parametrize(
    ("of", "name", "text"),
    [
        (Input, "EmulatedInput", "<input type='tablet' bus='usb'><address type='usb' bus='0' port='1.2'/></input>"),
        (Input, "PassthroughInput", "<input type='passthrough' bus='virtio'><source evdev='/dev/e1'/></input>"),
        (Input, "EvdevInput", "<input type='evdev'><source dev='/dev/e1' grab='all' repeat='off'/></input>"),
        (Hub, "Hub", "<hub type='usb'><alias name='hub0'/></hub>"),
        (Smartcard, "HostSmartcard",
         "<smartcard mode='host'><address type='ccid' controller='0' slot='1'/></smartcard>"),
        (Smartcard, "CertificateSmartcard",
         f"<smartcard mode='host-certificates'>{CERTIFICATES}<database>/etc/pki/</database></smartcard>"),
        (Smartcard, "PassthroughSmartcard",
         "<smartcard mode='passthrough' type='unix'><source path='/s'/></smartcard>"),
        (Tpm, "Tpm", f"<tpm><backend type='emulator' version='2.0' persistent_state='no'><encryption secret='{UUID}'/>"
         "<active_pcr_banks><sha1/><sha512/></active_pcr_banks></backend></tpm>"),
        (Tpm, "Tpm", "<tpm model='tpm-crb'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>"),
        (Tpm, "Tpm", "<tpm><backend type='external'><source type='unix' path='/s' mode='connect'/></backend></tpm>"),
    ],
)  # fmt: skip
def test_each_shape(of: Any, name: str, text: str) -> None:
    assert type(read(of, text)).__name__ == name
    assert rewritten(of, text)


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        ("RandomBackend", "model='random'>/dev/urandom"),
        ("RandomBackend", "model='random'>"),
        ("EgdBackend", "model='egd' type='tcp'><source mode='connect' host='h' service='1'/><protocol type='raw'/>"),
        ("BuiltinBackend", "model='builtin'>"),
    ],
)
def test_where_random_numbers_come_from(name: str, backend: str) -> None:
    text = f"<rng model='virtio'><backend {backend}</backend><rate bytes='1024' period='2000'/></rng>"
    assert type(read(Rng, text).backend).__name__ == name
    assert rewritten(Rng, text)


@pytest.mark.parametrize(
    ("of", "text", "problem"),
    [
        (Input, "<input type='passthrough' bus='usb'><source evdev='/e'/></input>",
         "/input/@bus: 'usb' is not 'virtio'"),
        (Smartcard, "<smartcard mode='host-certificates'><certificate>a</certificate></smartcard>",
         "/smartcard: it needs three <certificate>, and has 1"),
        (Rng, "<rng model='virtio'><backend model='builtin'>/x</backend></rng>", "/rng/backend: it may hold no text"),
        (Tpm, "<tpm><backend type='passthrough' persistent_state='no'/></tpm>",
         "/tpm/backend/@persistent_state: unknown attribute 'persistent_state'"),
    ],
)  # fmt: skip
def test_what_is_refused(of: Any, text: str, problem: str) -> None:
    assert problems_of(of, text) == [problem]
