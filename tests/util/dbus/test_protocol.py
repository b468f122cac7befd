"""Bytes in, messages out: the same however they come, and never anything but messages or a broken connection."""

from __future__ import annotations

import gc
import itertools
import os
import struct
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.dbus import signal
from support.dbus_values import messages

from engine.errors import ConnectionBroken
from engine.util.dbus import codec
from engine.util.dbus.message import Message, MessageType
from engine.util.dbus.protocol import Protocol


def _pull(protocol: Protocol) -> list[Message]:
    found = []
    while (message := protocol.next_message()) is not None:
        found.append(message)
    return found


def _outcome(pieces: Iterable[bytes], *, lazily: bool = False) -> tuple[list[str], str | None]:
    """The messages that come of these pieces, and why the connection broke if it did."""
    protocol = Protocol()
    found: list[str] = []
    try:
        for piece in pieces:
            protocol.receive(piece)
            while not lazily and (message := protocol.next_message()) is not None:
                found.append(repr(message))
        while (message := protocol.next_message()) is not None:
            found.append(repr(message))
    except ConnectionBroken as exc:
        with pytest.raises(ConnectionBroken, match="bus"):  # once broken, for ever broken
            protocol.next_message()
        protocol.receive(b"more")
        with pytest.raises(ConnectionBroken):
            protocol.next_message()
        return found, str(exc)
    return found, None


def _cut(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def _bytes_of(*sent: Message) -> bytes:
    return b"".join(codec.encode(message, serial)[0] for serial, message in enumerate(sent, 1))


@given(st.lists(messages(), max_size=4), st.lists(st.integers(0, 2000)))
def test_any_fragmentation_gives_the_same_messages(sent: list[Message], cuts: list[int]) -> None:
    data = _bytes_of(*sent)
    whole = _outcome([data])
    assert whole[1] is None and len(whole[0]) == len(sent)
    assert _outcome(_cut(data, cuts)) == whole
    assert _outcome(bytes([byte]) for byte in data) == whole
    assert _outcome(_cut(data, cuts), lazily=True) == whole


@settings(max_examples=200)
@given(st.lists(messages(), min_size=1, max_size=3), st.data())
def test_damaged_bytes_give_the_same_however_they_are_cut(sent: list[Message], data: st.DataObject) -> None:
    damaged = bytearray(_bytes_of(*sent))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    whole = _outcome([bytes(damaged)])
    assert _outcome(_cut(bytes(damaged), data.draw(st.lists(st.integers(0, 2000))))) == whole
    assert _outcome(bytes([byte]) for byte in damaged) == whole


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_noise_gives_the_same_however_it_is_cut(noise: bytes, cuts: list[int]) -> None:
    whole = _outcome([noise])
    assert _outcome(_cut(noise, cuts)) == whole
    if noise and noise[0] not in b"lB":
        assert whole == ([], "what comes from the bus is no message: it has no byte order")


def test_what_came_before_the_damage_is_still_read() -> None:
    found, broken = _outcome([_bytes_of(signal("First"), signal("Second")) + b"rubbish"])
    assert len(found) == 2 and broken is not None


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (struct.pack("<BBBBIII", 108, 1, 0, 1, codec.MAX_MESSAGE, 1, 0), "more than any may have"),
        (struct.pack("<BBBBIII", 108, 1, 0, 1, 0xFFFFFFFF, 1, 0xFFFFFFFF), "more than any may have"),
        (struct.pack(">BBBBIII", 66, 1, 0, 1, 0, 1, codec.MAX_ARRAY + 1), "more than any may have"),
        (struct.pack("<BBBBIII", 108, 0, 0, 1, 0, 1, 0), "type 0"),
        (struct.pack("<BBBBIII", 108, 1, 0, 2, 0, 1, 0), "version 2"),
        (struct.pack("<BBBBIII", 108, 1, 0, 1, 0, 0, 0), "serial 0"),
        (b"x", "no byte order"),
    ],
)
def test_what_can_never_become_a_message_is_refused_at_its_header(header: bytes, reason: str) -> None:
    protocol = Protocol()
    protocol.receive(header[:-1])
    if len(header) > 1:
        assert protocol.next_message() is None
    protocol.receive(header[-1:])
    with pytest.raises(ConnectionBroken, match=reason):
        protocol.next_message()


def test_the_largest_message_is_waited_for() -> None:
    """So that the case above is refused for its size, and not for another reason."""
    protocol = Protocol()
    protocol.receive(struct.pack("<BBBBIII", 108, 1, 0, 1, codec.MAX_MESSAGE - 16, 1, 0))
    assert protocol.next_message() is None
    assert protocol.frame_size == codec.MAX_MESSAGE and protocol.missing == codec.MAX_MESSAGE - 16


def test_messages_of_types_yet_to_be_invented_are_passed_over() -> None:
    data = bytearray(_bytes_of(signal("Old")))
    data[1] = 77
    found, broken = _outcome([bytes(data) + _bytes_of(signal("New"))])
    assert broken is None and len(found) == 1 and "New" in found[0]


def test_serials_are_never_zero() -> None:
    protocol = Protocol()
    protocol._serial = 0xFFFFFFFE
    assert [protocol.next_serial() for _ in range(3)] == [0xFFFFFFFF, 1, 2]


# ---------------------------------------------------------------------------- descriptors


def _fd_messages() -> list[tuple[bytes, int]]:
    """Three messages with 2, 0 and 1 descriptors, and how many there are."""
    read, write = os.pipe()
    try:
        bodies = [("hh", (read, write)), ("s", ("x",)), ("ah", ([read],))]
        sent = [signal("S", signature, *body) for signature, body in bodies]
        return [(data, len(fds)) for data, fds in (codec.encode(message, 1) for message in sent)]
    finally:
        os.close(read)
        os.close(write)


def _open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


@given(st.lists(st.integers(0, 400)))
def test_descriptors_find_their_message_however_it_is_cut(cuts: list[int]) -> None:
    before = _open_fds()
    sent = _fd_messages()
    starts = {sum(len(data) for data, _ in sent[:n]): count for n, (_, count) in enumerate(sent)}
    data = b"".join(part for part, _ in sent)
    protocol = Protocol()
    found = []
    position = 0
    for piece in _cut(data, [*cuts, *starts]):  # the kernel never joins bytes across descriptors
        fds = [os.dup(0) for _ in range(starts.get(position, 0))]
        protocol.receive(piece, fds)
        position += len(piece)
        found += _pull(protocol)
    assert [len(message.fds) for message in found] == [2, 0, 1]
    assert found[0].body == found[0].fds and found[2].body == (list(found[2].fds),)
    for message in found:
        assert all(os.fstat(fd.fileno()) for fd in message.fds)
        message.close()
        message.close()
    assert _open_fds() == before


def test_descriptors_nobody_claims_are_closed() -> None:
    gc.disable()  # a circle would keep them open for as long as it likes
    try:
        _drop_descriptors()
    finally:
        gc.enable()


def _drop_descriptors() -> None:
    before = _open_fds()
    (data, count), *_ = _fd_messages()
    protocol = Protocol()
    protocol.receive(data, [os.dup(0) for _ in range(count)])
    (message,) = _pull(protocol)
    assert _open_fds() == before + 2
    claimed = message.fds[0].claim()
    with pytest.raises(ValueError, match="claimed"):
        message.fds[0].claim()
    del message
    assert _open_fds() == before + 1
    os.close(claimed)

    protocol.receive(data[:20], [os.dup(0), os.dup(0)])
    assert _open_fds() == before + 2
    protocol.close()
    assert _open_fds() == before
    protocol.receive(b"", [os.dup(0)])
    with pytest.raises(ConnectionBroken):
        protocol.next_message()
    protocol.close()
    assert _open_fds() == before


@pytest.mark.parametrize(("come", "reason"), [(1, "announced"), (3, "without a message")])
def test_a_wrong_number_of_descriptors_breaks_the_connection(come: int, reason: str) -> None:
    before = _open_fds()
    (data, _), *_ = _fd_messages()
    protocol = Protocol()
    protocol.receive(data, [os.dup(0) for _ in range(come)])
    with pytest.raises(ConnectionBroken, match=reason):
        while (message := protocol.next_message()) is not None:
            message.close()
    assert _open_fds() == before


def test_descriptors_do_not_pile_up() -> None:
    before = _open_fds()
    (data, _), *_ = _fd_messages()
    protocol = Protocol()
    protocol.receive(data[:1])
    with pytest.raises(ConnectionBroken, match="without a message"):
        for byte in data[1:60]:
            protocol.receive(bytes([byte]), [os.dup(0) for _ in range(100)])
            protocol.next_message()
    assert _open_fds() == before


def test_ignored_messages_take_their_descriptors_along() -> None:
    before = _open_fds()
    (data, count), *_ = _fd_messages()
    unknown = bytearray(data)
    unknown[1] = 77
    protocol = Protocol()
    protocol.receive(bytes(unknown), [os.dup(0) for _ in range(count)])
    assert _pull(protocol) == []
    assert _open_fds() == before


def test_a_reply_names_its_call() -> None:
    call = Message(type=MessageType.METHOD_CALL, serial=5, path="/o", member="M", sender=":1.4")
    assert Message.reply_to(call, "s", ["x"]).reply_serial == Message.error_to(call, "a.B", "x").reply_serial == 5
    assert Message.reply_to(call).destination == ":1.4"
