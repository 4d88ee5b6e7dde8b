"""How much may change at a time."""

from smallmodel_operator.reconcile.pace import Pace

CHAT, OTHER = ("team", "chat"), ("team", "other")


def test_as_many_moves_as_may_begin_in_a_minute_and_then_none_for_a_while() -> None:
    pace = Pace().moved(2, 0.0).moved(1, 30.0)

    assert pace.pause(30.0, most=4) is None
    why = pace.pause(30.0, most=3)
    assert why is not None
    assert why.startswith("3 copies began to move within this minute")
    assert pace.pause(60.0, most=3) is None
    assert pace.moved(2, 60.0).pause(60.0, most=3) is not None


def test_of_many_copies_ten_may_go_in_a_minute_and_of_few_a_fifth() -> None:
    pace = Pace().dropped(9, 0.0)

    assert not pace.holds_drops(1, 1000, 1.0)
    assert pace.holds_drops(2, 1000, 1.0)
    assert not pace.holds_drops(2, 1000, 60.0)
    assert not Pace().holds_drops(4, 20, 0.0)
    assert Pace().holds_drops(5, 20, 0.0)
    assert not Pace().holds_drops(3, 3, 0.0)


def test_once_held_all_are_held_until_nobody_asks_any_more() -> None:
    pace = Pace().waits(CHAT, 0.0).waits(OTHER, 10.0)

    assert pace.holds_drops(1, 1000, 100.0), "a rate limit would let a mistake through, only later"
    assert pace.content(CHAT).holds_drops(1, 1000, 100.0)
    assert not pace.content(CHAT).content(OTHER).holds_drops(1, 1000, 100.0)
    assert not pace.holds_drops(1, 1000, 130.0), "nobody asked for two minutes"
    assert set(pace.waits(CHAT, 125.0).waiting) == {CHAT, OTHER}
    assert set(pace.waits(CHAT, 131.0).waiting) == {CHAT}
    assert pace.content(("team", "nobody")) is pace
