"""An agent is there while its Lease changes, by the hub's clock and nobody else's."""

from hypothesis import given
from hypothesis import strategies as st

from smallmodel_operator.status.heartbeat import SILENT_SECONDS, Heard, Heartbeat, hear

PERIOD = 10.0


def beat(version: int) -> Heartbeat:
    return Heartbeat(str(version), "uid-1")


def listened(*versions: int | None) -> Heard:
    """What is known after a look every 10 s; None: there was no Lease."""
    heard: Heard | None = None
    for number, version in enumerate(versions):
        found = beat(version) if version is not None else None
        heard = hear(heard, found, number * PERIOD)
    assert heard is not None
    return heard


def test_what_lay_there_before_the_first_look_is_no_heartbeat() -> None:
    assert not listened(1).beats
    assert not listened(1, 1).beats
    assert not listened(None).beats


def test_a_lease_that_changes_is_one() -> None:
    assert listened(1, 2).beats
    assert listened(None, 1).beats
    assert listened(1, 2).last == beat(2)


def test_one_overdue_heartbeat_is_no_silence_and_two_are() -> None:
    assert not listened(1, 2).is_silent(2 * PERIOD)
    assert listened(1, 2).is_silent(3 * PERIOD)
    assert listened(1, 2).silent_for(3 * PERIOD) == 2 * PERIOD


def test_a_lease_that_is_gone_says_nothing() -> None:
    heard = listened(1, 2, None, None)
    assert heard == listened(1, 2)


def test_nothing_at_all_is_silence_after_a_while() -> None:
    assert not listened(None).is_silent(SILENT_SECONDS)
    assert listened(None, None).is_silent(SILENT_SECONDS + 1)


@given(st.lists(st.integers(1, 3), min_size=1), st.floats(0, 1e9))
def test_only_the_time_between_looks_counts(versions: list[int], later: float) -> None:
    now: Heard | None = None
    then: Heard | None = None
    for number, version in enumerate(versions):
        now = hear(now, beat(version), number * PERIOD)
        then = hear(then, beat(version), number * PERIOD + later)
    assert now is not None
    assert then is not None
    assert (now.last, now.beats) == (then.last, then.beats)
