"""The text of a .vmx: lines, quotes, escapes, encodings."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.vmx.document import Entry, format_vmx, parse_vmx

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), max_size=30)


def test_lines_are_entries_in_order() -> None:
    text = '#!/usr/bin/vmware\r\n\r\n  a.b = "1"\r\nscsi0:0.fileName="x y" # why\r\nbare = 7\n'
    assert parse_vmx(text).entries == (Entry("a.b", "1", 3), Entry("scsi0:0.fileName", "x y", 4), Entry("bare", "7", 5))


def test_keys_are_the_same_in_any_case_and_the_first_counts() -> None:
    document = parse_vmx('MemSize = "4"\nMEMSIZE = "8"\n')
    assert document.get("memsize") == Entry("MemSize", "4", 1)
    assert document.repeated == (Entry("MEMSIZE", "8", 2),)
    assert document.get("numvcpus") is None


def test_escapes_are_read_and_written() -> None:
    entry = parse_vmx('a = "say |22hi|22|0A|C3|A4 | |zz |ff"').entries[0]
    assert entry.value == 'say "hi"\nä | |zz |ff'
    assert format_vmx([entry]) == 'a = "say |22hi|22|0aä |7c |7czz |7cff"\n'


@given(
    st.lists(st.tuples(st.from_regex(r"[a-z][a-z0-9.:]{0,9}", fullmatch=True), WORDS), unique_by=lambda each: each[0])
)
def test_what_is_written_reads_the_same(pairs: list[tuple[str, str]]) -> None:
    entries = [Entry(key, value, number) for number, (key, value) in enumerate(pairs, 1)]
    assert parse_vmx(format_vmx(entries)).entries == tuple(entries)


@pytest.mark.parametrize(
    ("encoding", "codec"), [("windows-1252", "cp1252"), ("UTF-8", "utf-8"), ("Shift_JIS", "cp932"), ("GBK", "gbk")]
)
def test_bytes_are_of_the_encoding_that_they_name(encoding: str, codec: str) -> None:
    name = "büro" if codec in ("cp1252", "utf-8") else "東京"
    data = f'# a comment\n.ENCODING = "{encoding}"\ndisplayName = "{name}"\n'.encode(codec)
    assert parse_vmx(data).entries[1].value == name


def test_a_byte_order_mark_is_none_of_the_first_key() -> None:
    assert parse_vmx('\ufeffa = "1"'.encode()).entries == (Entry("a", "1", 1),)


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (b"\n.encoding = martian", 2, "the encoding 'martian' is not known"),
        (b'\na = "\xff"', 2, "the text is not in the encoding UTF-8"),
        (b"no equals sign", 1, 'the line is not of the form: key = "value"'),
        (b'= "1"', 1, 'the line is not of the form: key = "value"'),
        (b'a = "1', 1, "the value of 'a' lacks its closing quote"),
        (b'a = "1" b', 1, "there is something after the value of 'a'"),
        (b"a = 1 b", 1, "there is something after the value of 'a'"),
        (b'\n\na = "|01"', 3, "the value of 'a' holds U+0001, which no document can"),
        (b'a = "|ef|bf|bf"', 1, "the value of 'a' holds U+FFFF, which no document can"),
        ('a = "\ufffe"'.encode(), 1, "the value of 'a' holds U+FFFE, which no document can"),
        ('a = "\ud800"', 1, "the value of 'a' holds U+D800, which no document can"),
    ],
)
def test_what_is_no_vmx_is_refused_with_its_line(data: bytes | str, line: int, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_vmx(data, source="box.vmx")
    assert (caught.value.reason, caught.value.line, caught.value.source) == (reason, line, "box.vmx")


def test_no_line_is_quoted_for_it_may_hold_a_password() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_vmx('RemoteDisplay.vnc.password = "hush" hush')
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("piece", ["|", "|4", "%41", " ", "\t", "#", '"', "=", "a=1\n", ".encoding", "\r"])
def test_long_input_takes_linear_time(piece: str) -> None:
    began = time.perf_counter()
    for text in (piece * 200_000, 'a = "' + piece * 200_000):
        try:
            parse_vmx(text.encode())
        except ConfigError:
            continue
    assert time.perf_counter() - began < 10
