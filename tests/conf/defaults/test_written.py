"""Sizes, sets and names in the way that libvirt writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.conf.defaults.written import in_largest_unit, in_unit
from engine.conf.kinds.common import ScaledInteger
from engine.conf.spellings import canonical_mac, canonical_set, mask_of_set, set_of_mask
from engine.errors import ConfigError
from engine.util.uuids import canonical_uuid


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("0", "0"), ("3,1,2", "1-3"), ("0-5,^4", "0-3,5"), ("1,1", "1"), ("5,3", "3,5"), ("0,^0", None), (None, None)],
)
def test_a_set_has_ranges(text: str | None, canonical: str | None) -> None:
    assert canonical_set(text) == canonical


@pytest.mark.parametrize("text", ["", "x", "99999999999", "0-16384", "1-", "-", "²"])
def test_what_is_no_set(text: str) -> None:
    with pytest.raises(ConfigError):
        canonical_set(text)


@given(st.sets(st.integers(0, 300)))
def test_a_set_means_what_it_says(numbers: set[int]) -> None:
    mask = sum(1 << number for number in numbers)
    assert mask_of_set(set_of_mask(mask) or None) == mask


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    try:
        canonical = canonical_set(text)
    except ConfigError:
        return
    assert canonical_set(canonical) == canonical


@pytest.mark.parametrize(
    ("value", "unit", "kib"), [(1, None, 1), (1, "GiB", 1048576), (1000, "b", 1), (1, "MB", 977), (0, "GiB", 0)]
)
def test_a_size_in_kib_is_rounded_up(value: int, unit: str | None, kib: int) -> None:
    assert in_unit(ScaledInteger(value=value, unit=unit), "KiB") == ScaledInteger(value=kib, unit="KiB")


@pytest.mark.parametrize(("value", "shown"), [(48, (48, "MiB")), (2048, (2, "GiB")), (0, (0, "B"))])
def test_a_size_in_its_largest_unit(value: int, shown: tuple[int, str]) -> None:
    size = in_largest_unit(ScaledInteger(value=value), default="MiB")
    assert size is not None and (size.value, size.unit) == shown


def test_an_unknown_unit() -> None:
    with pytest.raises(ConfigError, match="unknown unit 'XiB'"):
        in_unit(ScaledInteger(value=1, unit="XiB"), "KiB")


def test_names() -> None:
    assert canonical_mac("52:54:00:AB:cd:0e") == "52:54:00:ab:cd:0e"
    assert canonical_uuid("C7A5FDBDEDAF4455926AD65C16DB1809") == "c7a5fdbd-edaf-4455-926a-d65c16db1809"
