from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConnectionBroken
from engine.util.dbus.auth import MAX_LINE, AuthClient

GUID = "00112233445566778899aabbccddeeff"
TALK = f"OK {GUID}\r\nAGREE_UNIX_FD\r\n".encode()


@given(st.lists(st.integers(1, len(TALK))))
def test_the_talk_is_the_same_however_it_is_cut(cuts: list[int]) -> None:
    auth = AuthClient(1000, guid=GUID)
    said = auth.start()
    edges = sorted({0, len(TALK), *cuts})
    for start, end in itertools.pairwise(edges):
        assert not auth.done
        said += auth.receive(TALK[start:end])
    assert said == b"\0AUTH EXTERNAL 31303030\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"
    assert auth.done and auth.unix_fds and auth.guid == GUID and auth.leftover == b""


def test_what_follows_belongs_to_the_messages() -> None:
    auth = AuthClient()
    auth.receive(TALK + b"l\1rest\r\n")
    assert auth.done and auth.leftover == b"l\1rest\r\n"


def test_a_bus_may_pass_no_descriptors() -> None:
    auth = AuthClient()
    auth.receive(f"OK {GUID}\r\nERROR not here\r\n".encode())
    assert auth.done and not auth.unix_fds


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"REJECTED EXTERNAL\r\n", "does not accept user"),
        (b"HTTP/1.1 400 Bad Request\r\n", "HTTP/1.1"),
        (b"OK\r\n", "in place of an authentication"),
        (b"OK xyz\r\n", "in place of an authentication"),
        (b"OK ffffffffffffffffffffffffffffffff\r\n", "another bus"),
        (f"OK {GUID}\r\nREJECTED\r\n".encode(), "descriptor passing"),
        (b"\r\n", "in place of an authentication"),
        (b"x" * (MAX_LINE + 1), "endless"),
    ],
)
def test_a_wrong_answer_breaks_the_connection(said: bytes, reason: str) -> None:
    with pytest.raises(ConnectionBroken, match=reason):
        AuthClient(guid=GUID).receive(said)


@given(st.binary(max_size=80) | st.sampled_from([TALK[:n] + b"\xff" + TALK[n:] for n in range(len(TALK))]))
def test_noise_breaks_the_connection_or_is_waited_out(noise: bytes) -> None:
    auth = AuthClient(guid=GUID)
    try:
        auth.receive(noise)
    except ConnectionBroken:
        return
    assert not auth.done or noise.startswith(TALK[: TALK.index(b"\n") + 1])
