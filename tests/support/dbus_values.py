"""Hypothesis strategies for what D-Bus can carry."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from engine.util.dbus.message import Flags, Message, MessageType, Variant

_word = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True)
names = st.lists(_word, min_size=2, max_size=4).map(".".join)
paths = st.lists(st.from_regex(r"[A-Za-z0-9_]{1,6}", fullmatch=True), max_size=3).map(
    lambda words: "/" + "/".join(words)
)
unique_names = st.integers(0, 999).map(lambda n: f":1.{n}")
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)

_BASIC: dict[str, st.SearchStrategy[Any]] = {
    "y": st.integers(0, 0xFF),
    "b": st.booleans(),
    "n": st.integers(-(2**15), 2**15 - 1),
    "q": st.integers(0, 2**16 - 1),
    "i": st.integers(-(2**31), 2**31 - 1),
    "u": st.integers(0, 2**32 - 1),
    "x": st.integers(-(2**63), 2**63 - 1),
    "t": st.integers(0, 2**64 - 1),
    "d": st.floats(allow_nan=False),
    "s": texts,
    "o": paths,
    "g": st.sampled_from(["", "s", "a{sv}", "(iias)", "aav"]),
}


@st.composite
def signatures(draw: st.DrawFn, depth: int = 3) -> str:
    """One complete type."""
    kind = draw(st.sampled_from(["basic", "basic", "array", "dict", "struct", "variant"] if depth else ["basic"]))
    if kind == "array":
        return "a" + draw(signatures(depth - 1))
    if kind == "dict":
        return "a{" + draw(st.sampled_from("ybnqiuxtsog")) + draw(signatures(depth - 1)) + "}"
    if kind == "struct":
        return "(" + "".join(draw(st.lists(signatures(depth - 1), min_size=1, max_size=3))) + ")"
    return "v" if kind == "variant" else draw(st.sampled_from(sorted(_BASIC)))


def split(signature: str) -> list[str]:
    """The complete types of a signature that is known to be valid."""
    found, depth, start = [], 0, 0
    for index, token in enumerate(signature):
        depth += (token in "({") - (token in ")}")
        if depth == 0 and token != "a":
            found.append(signature[start : index + 1])
            start = index + 1
    return found


def values(signature: str) -> st.SearchStrategy[Any]:
    """What fits one complete type, as it comes out of a message."""
    if signature in _BASIC:
        return _BASIC[signature]
    if signature == "v":
        return signatures(1).flatmap(lambda inner: values(inner).map(lambda value: Variant(inner, value)))
    if signature == "ay":
        return st.binary(max_size=20)
    if signature.startswith("a{"):
        return st.dictionaries(values(signature[2]), values(signature[3:-1]), max_size=3)
    if signature.startswith("a"):
        return st.lists(values(signature[1:]), max_size=3)
    return st.tuples(*map(values, split(signature[1:-1]))).map(list)


bodies = st.lists(signatures(), max_size=4).flatmap(
    lambda parts: st.tuples(st.just("".join(parts)), st.tuples(*map(values, parts)))
)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Any message, without descriptors."""
    kind = draw(st.sampled_from(MessageType))
    signature, body = draw(bodies)
    call, told = kind is MessageType.METHOD_CALL, kind in (MessageType.METHOD_CALL, MessageType.SIGNAL)
    interface = names if kind is MessageType.SIGNAL else st.none() | names
    return Message(
        type=kind,
        flags=draw(st.sampled_from([Flags.NONE, Flags.NO_REPLY_EXPECTED, Flags(7)])),
        path=draw(paths) if told else None,
        interface=draw(interface) if told else None,
        member=draw(_word) if told else None,
        error_name=draw(names) if kind is MessageType.ERROR else None,
        reply_serial=None if told else draw(st.integers(1, 2**32 - 1)),
        destination=draw(st.none() | names | unique_names) if call else draw(st.none() | unique_names),
        sender=draw(st.none() | unique_names),
        signature=signature,
        body=body,
    )
