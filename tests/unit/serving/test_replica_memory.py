"""Who may have the node's memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallmodel_serving.runtime.memory import (
    MAX_WAIT_SECONDS,
    PATIENCE_SECONDS,
    Admitted,
    Entry,
    Refused,
    Waiting,
    admit,
)

NOW = 1000.0


def entry(
    key: str,
    size: int,
    *,
    holds: bool = True,
    since: float = NOW,
    last_use: float = NOW,
    in_flight: int = 0,
    keep_awake: bool = False,
) -> Entry:
    return Entry(
        key=key,
        model=key,
        bytes=size,
        holds=holds,
        since=since,
        last_use=last_use,
        in_flight=in_flight,
        keep_awake=keep_awake,
    )


def wish(size: int, *, waited: float = 0.0) -> Entry:
    return entry("wish", size, holds=False, since=NOW - waited)


def asked(decision: object) -> list[str]:
    assert isinstance(decision, Waiting), decision
    return [one.key for one in decision.ask]


def test_what_fits_is_admitted_and_told_of_its_neighbours() -> None:
    assert admit((entry("a", 3),), wish(7), 10, NOW) == Admitted(others_awake=1)


def test_without_a_capacity_everything_is_admitted() -> None:
    assert admit((entry("a", 3),), wish(10**12), None, NOW) == Admitted(others_awake=1)


def test_the_longest_idle_engine_is_asked_and_no_more_than_needed() -> None:
    entries = (entry("new", 4, last_use=NOW - 1), entry("old", 4, last_use=NOW - 9))
    assert asked(admit(entries, wish(4), 10, NOW)) == ["old"]


def test_as_many_are_asked_as_cover_the_need() -> None:
    entries = (entry("new", 4, last_use=NOW - 1), entry("old", 4, last_use=NOW - 9))
    assert asked(admit(entries, wish(9), 10, NOW)) == ["old", "new"]


def test_busy_engines_are_asked_only_after_some_patience_and_the_longest_awake_first() -> None:
    entries = (
        entry("a", 5, in_flight=1, since=NOW - 50),
        entry("b", 5, in_flight=1, since=NOW - 90),
    )
    assert asked(admit(entries, wish(5), 10, NOW)) == []
    assert asked(admit(entries, wish(5, waited=PATIENCE_SECONDS), 10, NOW)) == ["b"]


def test_an_idle_engine_comes_before_a_busy_one_however_long_that_was_awake() -> None:
    entries = (entry("busy", 5, in_flight=1, since=NOW - 90), entry("idle", 5))
    assert asked(admit(entries, wish(5, waited=2), 10, NOW)) == ["idle"]


def test_who_is_kept_awake_is_never_asked() -> None:
    entries = (entry("kept", 4, keep_awake=True, last_use=0), entry("idle", 4))
    assert asked(admit(entries, wish(4), 10, NOW)) == ["idle"]


@pytest.mark.parametrize(
    ("entries", "size", "waited", "words"),
    [
        ((), 11, 0.0, "too small"),
        ((entry("kept", 4, keep_awake=True),), 7, 0.0, "kept awake never gives way"),
        ((entry("busy", 9, in_flight=2),), 7, MAX_WAIT_SECONDS, "within 10 s"),
    ],
)
def test_what_cannot_fit_is_refused_with_need_have_and_holder(
    entries: tuple[Entry, ...], size: int, waited: float, words: str
) -> None:
    decision = admit(entries, wish(size, waited=waited), 10, NOW)
    assert isinstance(decision, Refused)
    assert words in decision.message
    assert f"needs {size} B" in decision.message
    assert all(one.model in decision.message for one in entries)


def test_a_small_model_does_not_overtake_one_that_waits_longer() -> None:
    first = entry("first", 8, holds=False, since=NOW - 1)
    entries = (entry("holder", 4, in_flight=1), first)
    assert isinstance(admit(entries, wish(2), 10, NOW), Waiting)
    assert isinstance(admit(entries, first, 10, NOW), Waiting)


def test_room_that_the_first_in_line_does_not_need_may_be_taken() -> None:
    first = entry("first", 3, holds=False, since=NOW - 1)
    assert admit((entry("holder", 4), first), wish(3), 10, NOW) == Admitted(others_awake=1)


entries_of_a_node = st.lists(
    st.builds(
        entry,
        key=st.uuids().map(str),
        size=st.integers(1, 10),
        holds=st.booleans(),
        since=st.floats(NOW - 9, NOW),
        last_use=st.floats(NOW - 99, NOW),
        in_flight=st.integers(0, 2),
        keep_awake=st.booleans(),
    ),
    max_size=6,
).map(tuple)


@given(entries_of_a_node, st.integers(1, 12), st.integers(1, 30), st.floats(0, 20))
def test_admission_never_exceeds_the_capacity_and_asks_only_who_can_give_way(
    entries: tuple[Entry, ...], size: int, capacity: int, waited: float
) -> None:
    decision = admit(entries, wish(size, waited=waited), capacity, NOW)
    held = sum(one.bytes for one in entries if one.holds)
    if isinstance(decision, Admitted):
        assert held + size <= capacity
    elif isinstance(decision, Waiting):
        assert waited < MAX_WAIT_SECONDS
        assert all(one.holds and not one.keep_awake for one in decision.ask)


@given(entries_of_a_node, st.integers(1, 12), st.integers(1, 30), st.integers(1, 30))
def test_more_memory_never_turns_an_admission_into_a_wait(
    entries: tuple[Entry, ...], size: int, capacity: int, more: int
) -> None:
    if isinstance(admit(entries, wish(size), capacity, NOW), Admitted):
        assert isinstance(admit(entries, wish(size), capacity + more, NOW), Admitted)


@given(st.lists(st.integers(1, 10), min_size=1, max_size=5), st.integers(10, 20))
def test_of_those_that_wait_the_first_is_admitted_once_its_need_is_free(
    sizes: list[int], capacity: int
) -> None:
    line = tuple(
        entry(f"w{i}", size, holds=False, since=NOW - 5 + i / 10) for i, size in enumerate(sizes)
    )
    assert isinstance(admit(line, line[0], capacity, NOW), Admitted)
