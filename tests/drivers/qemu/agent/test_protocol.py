"""The guest agent's protocol as bytes; the guest may send anything."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.drivers.qemu.agent.protocol import MAX_LINE, AgentProtocol, Answer
from engine.errors import ConnectionBroken

# half an answer to somebody else, the agent's complaint about the mark, the mark and the answer, then another
STREAM = (
    b'rn": {"half": 1}}\n{"error": {"class": "GenericError", "desc": "JSON parse error"}}\n'
    b'\xff{"return": 42}\n{"return": {"a": 1}}\r\n{"error": {"desc": "no"}}\n'
)
ANSWERS = [Answer(value=42, synced=True), Answer(value={"a": 1}), Answer(error="no")]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_any_fragmentation_gives_the_same_answers(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    protocol = AgentProtocol()
    assert [a for b, e in pairwise(edges) for a in protocol.receive(STREAM[b:e])] == ANSWERS


def test_a_mark_drops_half_an_answer() -> None:
    protocol = AgentProtocol()
    assert protocol.receive(b'\xff{"return": 1, ') == []
    assert protocol.receive(b'\xff{"return": 2}\n') == [Answer(value=2, synced=True)]


def test_nonsense_lines_are_skipped() -> None:
    protocol = AgentProtocol()
    assert protocol.receive(b"\xffSegmentation fault\n\n[1]\n" + b"[" * 50_000 + b'\n{"return": 3}\n') == [
        Answer(value=3)
    ]


def test_a_guest_that_talks_without_end_fills_no_memory() -> None:
    protocol = AgentProtocol()
    assert protocol.receive(b"x" * (MAX_LINE * 2)) == []  # nobody asked: nothing is kept
    protocol.receive(b"\xff")
    with pytest.raises(ConnectionBroken, match="more than"):
        for _ in range(100):
            protocol.receive(b"x" * (1 << 20))


@given(st.binary(max_size=300))
def test_any_bytes_are_survived(data: bytes) -> None:
    protocol = AgentProtocol()
    for _ in range(2):
        protocol.receive(data)
    assert protocol.receive(b'\xff{"return": 7}\n')[-1:] == [Answer(value=7, synced=True)]


def test_a_sync_begins_with_the_mark() -> None:
    data = AgentProtocol.sync(5)
    assert data[:1] == b"\xff"
    assert json.loads(data[1:]) == {"execute": "guest-sync-delimited", "arguments": {"id": 5}}
