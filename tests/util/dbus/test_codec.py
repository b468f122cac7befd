"""Our side of the boundary against dbus-next as it is, and against all that must not get through."""

from __future__ import annotations

import contextlib
import io
import os
import struct
from typing import Any

import pytest
from dbus_next import Message as PeerMessage
from dbus_next import MessageType as PeerType
from dbus_next import Variant as PeerVariant
from dbus_next._private.unmarshaller import Unmarshaller
from hypothesis import given, settings
from hypothesis import strategies as st
from support.dbus_values import bodies, messages

from engine.errors import ConnectionBroken, DBusError
from engine.util.dbus import codec
from engine.util.dbus.message import Errors, Message, MessageType, UnixFd, Variant, unwrap


def _no_fds(count: int) -> list[UnixFd]:
    assert count == 0
    return []


def _decode(frame: bytes) -> Message:
    message = codec.decode(bytearray(frame), _no_fds)
    assert message is not None
    return message


def _call(signature: str = "", *body: Any, **more: Any) -> Message:
    given = {"path": "/o", "interface": "a.B", "member": "M", **more}
    return Message(type=MessageType.METHOD_CALL, signature=signature, body=body, **given)


def _bare(value: Any) -> Any:
    """dbus-next's values and ours, made comparable."""
    if isinstance(value, PeerVariant | Variant):
        return (value.signature, _bare(value.value))
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items()}
    return [_bare(item) for item in value] if isinstance(value, list | tuple) else value


@given(messages(), st.integers(1, 2**32 - 1))
def test_what_is_encoded_decodes_to_the_same(message: Message, serial: int) -> None:
    frame, fds = codec.encode(message, serial)
    decoded = _decode(frame)
    assert decoded.serial == serial and fds == []
    for name in Message.__slots__:
        if name not in ("serial", "fds"):
            assert getattr(decoded, name) == getattr(message, name), name


@given(messages())
def test_dbus_next_reads_what_we_write(message: Message) -> None:
    frame, _ = codec.encode(message, 7)
    peer = Unmarshaller(io.BytesIO(frame)).unmarshall()
    assert peer.message_type.value == message.type and peer.serial == 7 and peer.signature == message.signature
    for name in ("path", "interface", "member", "error_name", "reply_serial", "destination", "sender"):
        assert getattr(peer, name) == getattr(message, name), name
    assert _bare(peer.body) == _bare(message.body)


@given(bodies)
def test_we_read_what_dbus_next_writes(content: tuple[str, tuple[Any, ...]]) -> None:
    signature, body = content
    peer = PeerMessage(":1.2", "/o", "a.B", "M", signature=signature, body=_theirs(list(body)), serial=9)
    decoded = _decode(bytes(peer._marshall()))
    assert peer.message_type is PeerType.METHOD_CALL and decoded.signature == signature
    assert decoded.body == body


def _theirs(value: Any) -> Any:
    if isinstance(value, Variant):
        return PeerVariant(value.signature, _theirs(value.value))
    if isinstance(value, dict):
        return {key: _theirs(item) for key, item in value.items()}
    return [_theirs(item) for item in value] if isinstance(value, list) else value


def test_big_endian_is_read() -> None:
    fields = b"\5\1u\0" + struct.pack(">I", 42) + b"\x08\1g\0\2su\0"
    frame = (
        struct.pack(">BBBBIII", ord("B"), 2, 0, 1, 12, 3, len(fields)) + fields + struct.pack(">I3sxI", 3, b"abc", 7)
    )
    reply = _decode(frame)
    assert (reply.reply_serial, reply.serial, reply.body) == (42, 3, ("abc", 7))


def test_tuples_are_as_good_as_lists() -> None:
    frame, _ = codec.encode(_call("a(sv)", (("Slice", Variant("(is)", (1, "x"))),)), 1)
    assert _decode(frame).body == ([["Slice", Variant("(is)", [1, "x"])]],)


def test_variants_unwrap_at_any_depth() -> None:
    value = {
        "a": Variant("av", [Variant("s", "x"), Variant("(sv)", ["y", Variant("i", 3)])]),
        "b": (Variant("b", True),),
    }
    assert unwrap(value) == {"a": ["x", ["y", 3]], "b": (True,)}


# ---------------------------------------------------------------------------- refused before it is sent

_LOOP: list[Any] = []
_LOOP.append(_LOOP)
_DEEP = Variant("s", "x")
for _ in range(64):
    _DEEP = Variant("v", _DEEP)


@pytest.mark.parametrize(
    ("signature", "body"),
    [
        ("s", (1,)),
        ("s", ()),
        ("", ("x",)),
        ("u", (-1,)),
        ("y", (256,)),
        ("i", ("1",)),
        ("s", (None,)),
        ("s", ("a\0b",)),
        ("s", ("\ud800",)),
        ("o", ("no/path",)),
        ("o", ("/a\n",)),
        ("o", ("/a/",)),
        ("g", ("{sv}",)),
        ("g", ("a",)),
        ("v", ("bare",)),
        ("v", (Variant("ss", "x"),)),
        ("v", (Variant("u", "x"),)),
        ("v", (_DEEP,)),
        ("av", (_LOOP,)),
        ("{sv}", ({},)),
        ("(s", (["x"],)),
        ("a{vs}", ({},)),
        ("a{(s)s}", ({},)),
        ("a" * 33 + "s", ([],)),
        ("(" * 33 + "s" + ")" * 33, ([],)),
        ("s" * 256, ("x",) * 256),
        ("ay", (bytes(codec.MAX_ARRAY + 1),)),
        ("h", (-1,)),
        ("ah", (list(range(codec.MAX_FDS + 1)),)),
    ],
)
def test_a_body_that_would_have_the_bus_hang_up_is_never_sent(signature: str, body: tuple[Any, ...]) -> None:
    with pytest.raises(DBusError) as caught:
        codec.encode(_call(signature, *body), 1)
    assert caught.value.name == Errors.INVALID_ARGS
    assert caught.value.message.startswith("M: ")


def test_the_largest_allowed_is_sent() -> None:
    """So that the case above is refused for its size, and not for another reason."""
    frame, _ = codec.encode(_call("ay", bytes(codec.MAX_ARRAY - 8)), 1)
    assert len(_decode(frame).body[0]) == codec.MAX_ARRAY - 8
    with pytest.raises(DBusError, match="more than a message can be"):
        codec.encode(_call("ayay", bytes(codec.MAX_ARRAY - 8), bytes(codec.MAX_ARRAY - 8)), 1)
    inner = Variant("s", "x")
    for _ in range(63):
        inner = Variant("v", inner)
    assert _decode(codec.encode(_call("v", inner), 1)[0]).body == (inner,)


@pytest.mark.parametrize(
    "fields",
    [
        {"path": None},
        {"path": "relative"},
        {"path": "/a//b"},
        {"path": "/a\n"},
        {"member": None},
        {"member": "a.b"},
        {"member": "M\n"},
        {"member": "M" * 256},
        {"interface": "single"},
        {"interface": "a..b"},
        {"interface": "a.b\n"},
        {"interface": "a." + "b" * 255},
        {"destination": "nodots"},
        {"destination": ":1.2\n"},
        {"destination": ":"},
        {"destination": "a.1b"},
        {"destination": 7},
    ],
)
def test_a_name_that_would_have_the_bus_hang_up_is_never_sent(fields: dict[str, Any]) -> None:
    codec.encode(_call(), 1)
    with pytest.raises(DBusError) as caught:
        codec.encode(_call(**fields), 1)
    assert caught.value.name == Errors.INVALID_ARGS


def test_descriptors_are_numbered_in_the_body_and_passed_once() -> None:
    frame, fds = codec.encode(_call("hahv", 9, [8, 9], Variant("h", UnixFd(os.dup(2)))), 1)
    assert fds[:2] == [9, 8] and len(fds) == 3
    came = [UnixFd(os.dup(1)) for _ in fds]
    message = codec.decode(bytearray(frame), lambda count: came[:count])
    assert message is not None
    assert message.body == (came[0], [came[1], came[0]], Variant("h", came[2]))
    assert message.fds == tuple(came)


def test_the_descriptors_of_a_malformed_message_are_closed_at_once() -> None:
    frame, _ = codec.encode(_call("hs", 1, "x"), 1)
    came = UnixFd(os.dup(1))
    with pytest.raises(ConnectionBroken):
        codec.decode(bytearray(frame[:-1] + b"!"), lambda count: [came])
    assert came.fileno() == -1


# ---------------------------------------------------------------------------- refused when it comes


def _frame(*fields: bytes, body: bytes = b"", kind: int = 4) -> bytes:
    header = b""
    for field in fields:
        header += bytes(-len(header) % 8) + field
    return struct.pack("<BBBBIII", 108, kind, 0, 1, len(body), 1, len(header)) + header + bytes(-len(header) % 8) + body


def _text(code: int, kind: bytes, text: bytes) -> bytes:
    value = bytes([len(text)]) if kind == b"g" else struct.pack("<I", len(text))
    return bytes([code, 1]) + kind + b"\0" + value + text + b"\0"


SIGNAL = (_text(1, b"o", b"/o"), _text(2, b"s", b"a.B"), _text(3, b"s", b"M"))


def _with(signature: bytes, body: bytes) -> bytes:
    return _frame(*SIGNAL, _text(8, b"g", signature), body=body)


def test_the_frames_made_by_hand_are_good() -> None:
    """Each case below is one of these with one thing wrong."""
    assert _decode(_frame(*SIGNAL)).member == "M"
    assert _decode(_with(b"s", struct.pack("<I", 1) + b"x\0")).body == ("x",)
    assert _decode(_with(b"ay", struct.pack("<I", 1) + b"x")).body == (b"x",)
    assert _decode(_frame(*SIGNAL, _text(77, b"s", b"of the future"))).member == "M"
    assert codec.decode(bytearray(_frame(*SIGNAL, kind=9)), _no_fds) is None


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (_frame(b""), "no path"),
        (_frame(_text(1, b"o", b"/o"), _text(3, b"s", b"M")), "no interface"),
        (_frame(*SIGNAL, _text(0, b"s", b"x")), "number 0"),
        (_frame(*SIGNAL, _text(3, b"s", b"M")), "twice"),
        (_frame(*SIGNAL, _text(8, b"s", b"x")), "wrong type"),
        (_frame(_text(1, b"o", b"o"), *SIGNAL[1:]), "path"),
        (_frame(_text(1, b"o", b"/o"), _text(2, b"s", b"a.B"), _text(3, b"s", b"M\n")), "member"),
        (_frame(*SIGNAL, b"\x07\1s\0" + struct.pack("<I", 2**31) + b":1.1"), "cut short"),
        (_frame(*SIGNAL, b"\x09\1u\0" + struct.pack("<I", 5)), "descriptor"),
        (_frame(*SIGNAL, body=b"left over"), "follow the body"),
        (_with(b"s", b""), "cut short"),
        (_with(b"s", struct.pack("<I", 9) + b"x\0"), "cut short"),
        (_with(b"s", struct.pack("<I", 1) + b"xy"), "zero byte"),
        (_with(b"s", struct.pack("<I", 2) + b"\0x\0"), "zero byte"),
        (_with(b"s", struct.pack("<I", 1) + b"\xff\0"), "utf-8"),
        (_with(b"o", struct.pack("<I", 1) + b"x\0"), "path"),
        (_with(b"g", b"\1(\0"), "missing"),
        (_with(b"v", b"\2ss\0"), "unpack"),
        (_with(b"v", b"\0\0"), "unpack"),
        (_with(b"v", b"\1v\0" * 65 + b"\1y\0\0"), "nested"),
        (_with(b"z", b"x"), "token"),
        (_with(b"ay", struct.pack("<I", 2) + b"x"), "array"),
        (_with(b"ai", struct.pack("<II", 3, 1)), "array"),
        (_with(b"ay", struct.pack("<I", codec.MAX_ARRAY + 1) + b"x"), "array"),
        (_with(b"h", struct.pack("<I", 0)), "descriptor"),
        (_with(b"{sv}", b""), "alone"),
        (_with(b"(" * 33 + b"y" + b")" * 33, b"x"), "deep"),
    ],
)
def test_a_malformed_message_breaks_the_connection(frame: bytes, reason: str) -> None:
    def take(count: int) -> list[UnixFd]:
        if count:
            raise ValueError("no such descriptor")
        return []

    with pytest.raises(ConnectionBroken, match=reason):
        codec.decode(bytearray(frame), take)


def test_an_array_that_is_too_large_is_refused_even_if_all_of_it_came() -> None:
    with pytest.raises(ConnectionBroken, match="64 MiB"):
        _decode(_with(b"ay", struct.pack("<I", codec.MAX_ARRAY + 1) + bytes(codec.MAX_ARRAY + 1)))


def test_an_element_may_not_reach_over_the_end_of_its_array() -> None:
    body = struct.pack("<I", 5) + struct.pack("<I", 2) + b"xy\0"  # "as": 5 bytes, whose one text takes 7
    with pytest.raises(ConnectionBroken, match="array"):
        _decode(_with(b"as", body))


@settings(max_examples=200)
@given(messages(), st.data())
def test_a_damaged_message_is_another_or_breaks_the_connection(message: Message, data: st.DataObject) -> None:
    frame = bytearray(codec.encode(message, 1)[0])
    for _ in range(data.draw(st.integers(1, 3))):
        frame[data.draw(st.integers(1, len(frame) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ConnectionBroken):
        codec.decode(frame, lambda count: [])


def test_types_thought_up_by_a_peer_are_not_kept_for_ever() -> None:
    for n in range(3000):
        with pytest.raises(ConnectionBroken):
            _decode(_with(bytes("s" * (n % 200) + "i" * (n // 200) + "u", "ascii"), b"x"))
    assert codec._tree.cache_info().currsize <= 1024
