from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.util.dbus.address import BusAddress, find_bus, parse_addresses

GUID = "00112233445566778899aabbccddeeff"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unix:path=/run/bus", [BusAddress(b"/run/bus")]),
        (f"unix:path=/run/bus,guid={GUID}", [BusAddress(b"/run/bus", GUID)]),
        (f"unix:guid={GUID},abstract=/tmp/x", [BusAddress(b"\0/tmp/x", GUID)]),
        ("unix:path=/a%20b%2c%3B%c3%a9", [BusAddress("/a b,;é".encode())]),
        ("unix:abstract=%00x", [BusAddress(b"\0\0x")]),
        ("unix:path=/a;unix:path=/b;", [BusAddress(b"/a"), BusAddress(b"/b")]),
        ("tcp:host=localhost,port=1;unix:path=/b", [BusAddress(b"/b")]),
        ("unix:tmpdir=/tmp;unix:path=/b", [BusAddress(b"/b")]),
        ("unix:runtime=yes", [BusAddress(b"/run/user/7/bus")]),
    ],
)
def test_addresses_are_read_in_order(text: str, expected: list[BusAddress]) -> None:
    assert list(parse_addresses(text, {"XDG_RUNTIME_DIR": "/run/user/7"})) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no usable"),
        ("nonsense", "no transport"),
        ("unix:", "must have one of"),
        ("unix:path", "no key=value"),
        ("unix:=x", "no key=value"),
        ("unix:path=", "no name"),
        ("unix:path=/a%2", "hexadecimal"),
        ("unix:path=/a%zz", "hexadecimal"),
        ("unix:path=%00a", "no name"),  # would be an abstract socket in disguise
        ("unix:path=/a,abstract=b", "must have one of"),
        ("unix:runtime=yes", "no usable"),
        ("tcp:host=localhost,port=1", "only UNIX sockets"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse_addresses(text, {})


def test_the_environment_says_where_the_buses_are() -> None:
    assert find_bus("system", {}) == (BusAddress(b"/run/dbus/system_bus_socket"),)
    assert find_bus("system", {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/s"}) == (BusAddress(b"/s"),)
    assert find_bus("session", {"XDG_RUNTIME_DIR": "/r"}) == (BusAddress(b"/r/bus"),)
    both = {"XDG_RUNTIME_DIR": "/r", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/s"}
    assert find_bus("session", both) == (BusAddress(b"/s"),)
    assert find_bus("unix:path=/x", both) == (BusAddress(b"/x"),)
    with pytest.raises(ConfigError, match="DBUS_SESSION_BUS_ADDRESS"):
        find_bus("session", {})


@given(st.text(alphabet="unix:path=abstract%0aF;,/\x00é\ud800", max_size=40) | st.text(max_size=40))
def test_any_text_is_an_address_or_a_config_error(text: str) -> None:
    try:
        found = parse_addresses(text, {})
    except ConfigError:
        return
    assert found and all(address.path for address in found)
