"""Durations, quantities and how bytes are shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallmodel_operator.api.base import amount, human_bytes, seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500ms", 0.5), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("1.5h", 5400), ("1m30s", 90)],
)
def test_a_duration_is_read_as_seconds(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "5d", "5m ", "1..5h"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write for example 30s"):
        seconds(text)


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_the_parts_of_a_duration_add_up(hours: int, minutes: int, rest: int) -> None:
    assert seconds(f"{hours}h{minutes}m{rest}s") == hours * 3600 + minutes * 60 + rest


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2", 2), ("500m", 0.5), ("1.5", 1.5), ("1k", 1000), ("1Ki", 1024), ("4Gi", 4 * 2**30)],
)
def test_a_quantity_is_read_as_a_number(text: str, expected: float) -> None:
    assert amount(text) == expected


@pytest.mark.parametrize("text", ["", "Gi", "4GB", "-1", "1e3", "4 Gi", "4.", "1.2.3"])
def test_what_is_no_quantity_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write for example 500m"):
        amount(text)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (10 * 1024, "10 KiB"),
        (117.4 * 2**20, "117 MiB"),
        (4.62 * 2**30, "4.6 GiB"),
        (2**40, "1024 GiB"),
    ],
)
def test_bytes_are_shown_with_two_or_more_digits(count: float, expected: str) -> None:
    assert human_bytes(count) == expected
