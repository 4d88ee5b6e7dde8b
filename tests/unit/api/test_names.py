"""Derived names stay within a limit and apart from each other."""

import re

from hypothesis import assume, given
from hypothesis import strategies as st

from smallmodel_operator.api import patterns
from smallmodel_operator.api.names import (
    INDEX_APPLICATION,
    SMALLMODEL_NAME_MAX,
    bounded,
    short_hash,
)

names = st.from_regex(patterns.NAME, fullmatch=True).filter(lambda name: name.isascii())


@given(names, st.integers(12, 63))
def test_a_bounded_name_fits_and_is_a_name(name: str, limit: int) -> None:
    short = bounded(name, limit)

    assert len(short) <= limit
    assert re.fullmatch(patterns.NAME, short)


@given(names, st.integers(12, 63))
def test_a_name_that_fits_is_kept(name: str, limit: int) -> None:
    assume(len(name) <= limit)
    assert bounded(name, limit) == name


def test_long_names_with_one_head_stay_apart() -> None:
    head = "a" * 60
    assert bounded(f"{head}-one", 40) != bounded(f"{head}-two", 40)


def test_a_hyphen_at_the_cut_is_dropped() -> None:
    assert re.fullmatch(r"abc-[0-9a-f]{8}", bounded("abc-----" + "x" * 20, 14))


def test_a_hash_is_as_long_as_asked_and_always_the_same() -> None:
    assert short_hash("chat", 5) == short_hash("chat")[:5]
    assert len(short_hash("chat")) == 8


def test_no_model_can_be_called_like_the_index_application() -> None:
    assert not re.match(patterns.NAME, INDEX_APPLICATION)


def test_a_ray_service_name_has_room_for_our_name_and_a_hash() -> None:
    """KubeRay allows 47 characters; `-` and five hexadecimal digits are appended."""
    assert SMALLMODEL_NAME_MAX + len("-") + 5 <= 47
