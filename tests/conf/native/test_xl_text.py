"""The text of Xen's configurations."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.conf.native.xl.text import Dialect, Item, options_text, parse_text, write_text
from engine.errors import ConfigError

DIALECTS: tuple[Dialect, ...] = ("xen-xl", "xen-xm")


def plain(item: Item) -> object:
    return [plain(each) for each in item.value] if isinstance(item.value, tuple) else item.value


def values(text: str, dialect: Dialect = "xen-xm") -> dict[str, object]:
    return {key: plain(item) for key, item in parse_text(text, None, dialect)[0].items()}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("-7", -7),
        ("0x1F", 31),
        ("010", 8),
        ("08", 8),
        ("True", 1),
        ("'a \"b\" # c'", 'a "b" # c'),
        (r'"a\\:b\"c"', r'a\:b"c'),
        (r"'\'\\\t\n'", "'\\\t\n"),
        ("[ ]", []),
        ("[ 'a', [1, 2], ]", ["a", [1, 2]]),
        ("[\n  'a', # why\n  'b'\n]", ["a", "b"]),
    ],
)
def test_values(text: str, value: object) -> None:
    for dialect in DIALECTS:
        assert values(f"key = {text}\n", dialect) == {"key": value}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"""a\nb"""', "a\nb"),
        ('''"""a'b"c\\""""''', 'a\'b"c"'),
        ("'''a'b'''", "a'b"),
        (r"'\x41\102\0401'", "AB 1"),
        (r"'C:\dir'", r"C:\dir"),
    ],
)
def test_only_files_of_xm_have_strings_of_python(text: str, value: str) -> None:
    assert values(f"key = {text}\n") == {"key": value}
    with pytest.raises(ConfigError):
        values(f"key = {text}\n", "xen-xl")


def test_settings_are_separated_by_lines_or_semicolons() -> None:
    assert values("# what\na=1; b = 'x'\n\n;c=[]") == {"a": 1, "b": "x", "c": []}


def test_lines_are_told() -> None:
    items, _ = parse_text("a = 1\n\nb = [ 'x',\n 'y' ]\n", None)
    value = items["b"].value
    assert isinstance(value, tuple)
    assert (items["b"].line, [each.line for each in value]) == (3, [3, 4])


def test_a_list_or_text_is_added_to() -> None:
    assert values("a = ['x']\na += ['y']\na += 'z'\nb += 'new'\nb += 'er'\n") == {"a": ["x", "y", "z"], "b": "newer"}


def test_what_is_set_again_counts_and_is_told() -> None:
    items, warnings = parse_text("a = 1\na = 2\n", None)
    assert items["a"].value == 2
    assert [(each.line, each.xpath, each.severity) for each in warnings] == [(1, "a", "warning")]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (r"a = 'x\xff'", 1, r"'\xff' is no character of ASCII"),
        (r"a = 'x\x4'", 1, r"'\x' is no character of ASCII"),
        ("a = 1\nb = ['\\a']", 2, "U+0007 is no character of a text"),
        ("a = 1 b = 2", 1, "after the value of 'a' the line has to end"),
        ("a = 1\nb\n", 2, "'b' is followed by '=' and a value"),
        ("a =\n", 1, "a value is a number, a string in quotes, or a list in brackets"),
        ("a = ['x' 'y']", 1, "the values of a list are separated by ',' and end with ']'"),
        ("a = [\n'x',", 2, "the text ends too early: a value is a number, a string in quotes, or a list in brackets"),
        ("a = 'x\n", 1, "there is neither a name nor a value here"),
        ("import os", 1, "'import' is followed by '=' and a value"),
        ("a = [[[[[[[[[[]]]]]]]]]]", 1, "a value is a number, a string in quotes, or a list in brackets"),
        ("a = 1\na += 2", 1, "'a' can't be added to"),
    ],
)
def test_what_is_refused(text: str, line: int, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_text(text, "guest.cfg")
    assert (caught.value.source, caught.value.line, caught.value.reason) == ("guest.cfg", line, reason)


def test_an_escape_that_xl_drops_is_refused() -> None:
    for escape in (r"\q", r"\x41", r"\101", r"\:"):
        with pytest.raises(ConfigError, match="in a string of xl's there is no") as caught:
            parse_text(f"\na = '{escape}'", None, "xen-xl")
        assert caught.value.line == 2


@given(st.text(), st.sampled_from(DIALECTS))
def test_any_text_is_read_or_refused(text: str, dialect: Dialect) -> None:
    try:
        parse_text(text, None, dialect)
    except ConfigError as exc:
        assert exc.line


WORDS = st.text(st.one_of(st.sampled_from("\r\n\t\\\"'"), st.characters(exclude_categories=["C"])), max_size=8)


@given(
    st.dictionaries(st.from_regex("[a-z_]{1,8}", fullmatch=True), st.one_of(st.integers(0, 2**60), WORDS)),
    st.sampled_from(DIALECTS),
)
def test_what_is_written_is_read_again(settings: dict[str, int | str], dialect: Dialect) -> None:
    assert values(write_text(settings.items(), dialect), dialect) == settings


def test_quotes_are_chosen_by_what_is_in_them() -> None:
    for dialect in DIALECTS:
        text = write_text([("a", "plain"), ("b", 'say "x"'), ("c", "it's"), ("d", ["x", ["y"]]), ("e", 1)], dialect)
        assert text == 'a = "plain"\nb = \'say "x"\'\nc = "it\'s"\nd = [ "x", [ "y" ] ]\ne = 1\n'


@pytest.mark.parametrize(
    ("value", "xl", "xm"),
    [
        ("a'b\"c", r'''"a'b\"c"''', '''"""a'b"c"""'''),
        ("a'b\"", r'''"a'b\""''', r'''"a'b\""'''),
        ("a\nb", r'"a\nb"', '"""a\nb"""'),
        (r"a\b", r'"a\\b"', r'"a\\b"'),
    ],
)
def test_what_no_quotes_are_enough_for(value: str, xl: str, xm: str) -> None:
    assert [write_text([("a", value)], dialect) for dialect in DIALECTS] == [f"a = {xl}\n", f"a = {xm}\n"]


def test_a_comma_does_not_begin_another_option() -> None:
    assert options_text([("a", "x"), ("b", None), ("c", 1)]) == "a=x,c=1"
    with pytest.raises(ConfigError) as caught:
        options_text([("vncpasswd", "se,cret")])
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    "piece", ['a = \'"""', "a += 'x'\n", "[", "a = [ 1, ", "\"\"\"'''", "a=1;", '"""\\\\', "a = '\\\\'\n"]
)
def test_time_is_linear(piece: str) -> None:
    started = time.perf_counter()
    for count in (1, 20_000):
        for dialect in DIALECTS:
            with contextlib.suppress(ConfigError):
                parse_text("a = ''\n" + piece * count, None, dialect)
    assert time.perf_counter() - started < 5
