from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.conf.toml import line_at, parse_toml
from engine.errors import ConfigError


def test_lines_of_everything() -> None:
    text = '''\
a = 1
b.c = "x # no comment, no [[table]]"   # a comment = here
"quoted key" = [1.5, [2, 3],
  {d = "}", e = ["]"]},
]
[table]
f = """
many = lines
"""
g = \'\'\'one '' two\'\'\'
[[list]]
h = 2020-01-01T10:00:00Z
[list.below]
i = 1
[[list]]
[[list.deep]]
j = 1
[[list.deep]]
k = 1
[list.deep.down]
l = 1
'''
    data, lines = parse_toml(text)
    assert data["list"][1]["deep"][1] == {"k": 1, "down": {"l": 1}}
    assert {path: lines[path] for path in lines if len(path) < 3 or path[0] == "list"} == {
        ("a",): 1,
        ("b",): 2,
        ("b", "c"): 2,
        ("quoted key",): 3,
        ("quoted key", 0): 3,
        ("quoted key", 1): 3,
        ("quoted key", 2): 4,
        ("table",): 6,
        ("table", "f"): 7,
        ("table", "g"): 10,
        ("list", 0): 11,
        ("list", 0, "h"): 12,
        ("list", 0, "below"): 13,
        ("list", 0, "below", "i"): 14,
        ("list", 1): 15,
        ("list", 1, "deep", 0): 16,
        ("list", 1, "deep", 0, "j"): 17,
        ("list", 1, "deep", 1): 18,
        ("list", 1, "deep", 1, "k"): 19,
        ("list", 1, "deep", 1, "down"): 20,
        ("list", 1, "deep", 1, "down", "l"): 21,
    }
    assert lines[("quoted key", 2, "e")] == 4


def test_the_nearest_known_line() -> None:
    _, lines = parse_toml("a = {b = 1}\n")
    assert line_at(lines, ("a", "x", 3)) == 1
    assert line_at(lines, ("z",)) is None


@pytest.mark.parametrize(
    ("text", "line"), [("a = ", 1), ("a = 1\nb", 2), ("a = 1\na = 2\n", 3), ('a = 1\n\nb = "x\n', 3), ("[" * 5000, 1)]
)
def test_what_is_no_toml_is_told_with_its_line(text: str, line: int) -> None:
    with pytest.raises(ConfigError, match="not well-formed TOML") as caught:
        parse_toml(text)
    assert caught.value.line in (line, line - 1, None)


def test_nesting_without_end_is_no_crash() -> None:
    with pytest.raises(ConfigError):
        parse_toml("a = " + "[" * 100_000)


keys = st.text(alphabet="abcXYZ019_-", min_size=1, max_size=4)
scalars = st.one_of(
    st.integers(-5, 5).map(str),
    st.booleans().map(lambda value: str(value).lower()),
    st.sampled_from(['"x"', '"]"', '"a = 1"', "'#'", "1.5", "1979-05-27", '"\\""']),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ",\n ".join(items) + "]"),
        st.dictionaries(keys, inner, max_size=3).map(
            lambda table: "{" + ", ".join(f"{key} = {value}" for key, value in table.items()) + "}"
        ),
    ),
    max_leaves=8,
)


@given(st.dictionaries(keys, values, max_size=5))
def test_every_path_of_any_document_has_its_line(table: dict[str, str]) -> None:
    text, expected = "", {}
    for key, value in table.items():
        expected[key] = text.count("\n") + 1
        text += f"{key} = {value} # {key}\n\n"
    # a new line in an inline table is not TOML before 1.1
    try:
        data, lines = parse_toml(text)
    except ConfigError:
        assert "\n " in text
        return
    for key, line in expected.items():
        assert lines[(key,)] == line

    def walk(value: Any, path: tuple[str | int, ...]) -> None:
        assert path in lines
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for step, inner in items:
            walk(inner, (*path, step))

    for key, value in data.items():
        walk(value, (key,))


def test_a_key_without_end_is_refused_before_it_takes_a_minute() -> None:
    long = ".".join("a" * 50_000)
    for text in (f"\n{long} = 1", f"\n[{long}]", f"\nx = {{{long} = 1}}", f"\n[[ '{long}' . {long}"):
        with pytest.raises(ConfigError, match="a key may have 64 parts") as failure:
            parse_toml(text, source="order.toml")
        assert (failure.value.source, failure.value.line) == ("order.toml", 2)
    data, _ = parse_toml(f"a = '{long}'\n" + ".".join("b" * 64) + f" = 1.5 # {long}\n")
    assert data["a"] == long


def test_strings_without_an_end_are_refused_as_soon_as_they_are_seen() -> None:
    """tomllib does so; our own scan before it must not look for an end from each quote."""
    for text in ('"\\' * 40_000, '"""\n\\' * 16_000, "'''\n" * 30_001, "'" * 100_001, 'x = """' + '\\"""' * 30_000):
        begin = time.process_time()
        with pytest.raises(ConfigError):
            parse_toml(text)
        assert time.process_time() - begin < 5  # it was minutes


def test_a_byte_order_mark_is_no_statement() -> None:
    data, lines = parse_toml("\ufeff[budget]\nseconds = 3\n")
    assert (data, lines["budget", "seconds"]) == ({"budget": {"seconds": 3}}, 2)
