"""QMP as bytes."""

from __future__ import annotations

import contextlib
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.drivers.qemu.qmp.protocol import MAX_LINE, Failure, Greeting, Notice, Protocol, Success, command
from engine.errors import ConnectionBroken

GREETING = (
    b'{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"},'
    b' "capabilities": ["oob"]}}\r\n'
)
CONVERSATION = (
    GREETING
    + b'{"return": {}, "id": 1}\r\n'
    + b'{"timestamp": {"seconds": 10, "microseconds": 500000}, "event": "SHUTDOWN", "data": {"guest": true}}\r\n'
    + b'{"id": 2, "error": {"class": "GenericError", "desc": "no \xc3\xa4"}}\r\n'
    + b"\r\n"
    + b'{"event": "STOP"}\r\n'
    + b'{"return": null, "id": 3}\r\n'
)
MESSAGES = [
    Greeting((7, 2, 22), ("oob",)),
    Success(1, {}),
    Notice("SHUTDOWN", {"guest": True}, 10.5),
    Failure(2, "GenericError", "no ä"),
    Notice("STOP", {}, 0.0),
    Success(3, None),
]


def test_a_conversation() -> None:
    assert Protocol().receive(CONVERSATION) == MESSAGES


@given(st.lists(st.integers(0, len(CONVERSATION)), max_size=30))
def test_any_fragmentation_gives_the_same_messages(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(CONVERSATION)]
    protocol = Protocol()
    found = [m for begin, end in pairwise(edges) for m in protocol.receive(CONVERSATION[begin:end])]
    assert found == MESSAGES


@pytest.mark.parametrize(
    "line",
    [
        b"hello\n",
        b"{}\n",
        b"[1, 2]\n",
        b'{"return": {}\n',
        b'{"event": 5}\n',
        b'{"event": "STOP", "data": [1]}\n',
        b'{"QMP": {}}\n',
        b'"\xff\xfe"\n',
        b"[" * 100_000 + b"\n",
        b'{"return": ' + b"[" * 100_000 + b"\n",
    ],
    ids=lambda line: repr(line[:24]),
)
def test_nonsense_breaks_the_connection_for_good(line: bytes) -> None:
    protocol = Protocol()
    with pytest.raises(ConnectionBroken, match="not QMP"):
        protocol.receive(line)
    with pytest.raises(ConnectionBroken, match="not QMP"):
        protocol.receive(GREETING)


def test_what_comes_before_nonsense_in_another_piece_is_read() -> None:
    protocol = Protocol()
    assert protocol.receive(b'{"event": "STOP"}\n') == [Notice("STOP", {}, 0.0)]
    with pytest.raises(ConnectionBroken):
        protocol.receive(b"nonsense\n")


@pytest.mark.parametrize("nonsense", [b"nonsense\n", b"x" * (MAX_LINE + 1)], ids=["words", "too long"])
def test_what_comes_before_nonsense_in_the_same_piece_is_read(nonsense: bytes) -> None:
    protocol = Protocol()
    assert protocol.receive(CONVERSATION + nonsense) == MESSAGES
    with pytest.raises(ConnectionBroken):
        protocol.check()
    with pytest.raises(ConnectionBroken):
        protocol.receive(CONVERSATION)


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    protocol = Protocol()
    piece = b"x" * (1 << 20)
    with pytest.raises(ConnectionBroken, match="more than 16777216 bytes"):
        for _ in range(100):
            protocol.receive(piece)
    assert len(protocol._buffer) <= MAX_LINE + len(piece)


def test_a_line_of_100_mb_in_one_piece_is_refused() -> None:
    with pytest.raises(ConnectionBroken, match="more than"):
        Protocol().receive(b'{"event": "' + b"x" * 100_000_000 + b'"}\n')


@given(st.binary(max_size=200))
def test_any_bytes_give_messages_or_a_broken_connection(data: bytes) -> None:
    with contextlib.suppress(ConnectionBroken):
        Protocol().receive(data + b"\n")


def test_a_command_is_one_line() -> None:
    text = command("device_add", {"id": "a\nb"}, 7)
    assert text.endswith(b"\r\n")
    assert text.count(b"\n") == 1
    assert json.loads(text) == {"execute": "device_add", "arguments": {"id": "a\nb"}, "id": 7}
