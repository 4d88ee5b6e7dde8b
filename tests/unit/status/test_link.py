"""One bad canary takes nothing away, one good one gives nothing back, a restart forgets little."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallmodel_operator.api.modelcluster import ClusterLink, LinkState
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.status.link import (
    IN_A_ROW,
    SLOW_SECONDS,
    USABLE,
    WINDOW,
    Canary,
    Failure,
    History,
    follow,
    recalled,
)

UP, SLOW, AWAY, OUT = (
    LinkState.CONNECTED,
    LinkState.DEGRADED,
    LinkState.UNREACHABLE,
    LinkState.CREDENTIAL_ERROR,
)
GOOD = Canary(seconds=0.1, cluster_uid="uid-1")
CANARIES = {
    "g": GOOD,
    "s": Canary(seconds=SLOW_SECONDS + 0.1, cluster_uid="uid-1"),
    "x": Canary(failure=Failure(AWAY, Reason.UNREACHABLE, "no route")),
    "c": Canary(failure=Failure(OUT, Reason.UNAUTHORIZED, "401")),
    "m": Canary(failure=Failure(OUT, Reason.KUBECONFIG_MISSING, "no Secret")),
}


def at(number: int) -> str:
    return f"2026-11-24T12:{number // 6:02}:{number % 6 * 10:02}Z"


def play(letters: str, start: History | None = None) -> list[History]:
    """The history after each canary, one every 10 s."""
    histories = [start or History()]
    for number, letter in enumerate(letters):
        histories.append(follow(histories[-1], CANARIES[letter], at(number)))
    return histories[1:]


def states(letters: str, start: History | None = None) -> list[LinkState]:
    return [history.link.state for history in play(letters, start) if history.link]


def link(state: LinkState, **changes: object) -> ClusterLink:
    return ClusterLink.model_validate(
        {"state": state, "since": at(0), "reason": Reason.CONNECTED, **changes}
    )


RUNS: dict[str, tuple[str, list[LinkState]]] = {
    "the first canary is believed": ("g", [UP]),
    "the first failure is believed": ("x", [AWAY]),
    "the first refusal is believed": ("c", [OUT]),
    "two failures change nothing": ("gxxg", [UP, UP, UP, UP]),
    "three do": ("gxxx", [UP, UP, UP, AWAY]),
    "three refusals are another thing": ("gccc", [UP, UP, UP, OUT]),
    "the last of several failures counts": ("gxxc", [UP, UP, UP, OUT]),
    "two good ones mend nothing": ("xggx", [AWAY, AWAY, AWAY, AWAY]),
    "three do mend": ("xggg", [AWAY, AWAY, AWAY, UP]),
    "a refusal mends a silence only when it lasts": ("xcxccc", [AWAY] * 5 + [OUT]),
    "a silence mends a refusal only when it lasts": ("cxcxxx", [OUT] * 5 + [AWAY]),
    "three slow ones of six degrade it": ("gsgsgs", [UP] * 5 + [SLOW]),
    "failures count as slow ones do": ("gxgsgx", [UP] * 5 + [SLOW]),
    "three slow ones bring a lost one back, degraded": ("xsss", [AWAY] * 3 + [SLOW]),
    "a minute of good ones mends it": ("gsss" + "g" * 6, [UP] * 3 + [SLOW] * 6 + [UP]),
    "one slow one in that minute does not": (
        "gsss" + "ggggsg",
        [UP] * 3 + [SLOW] * 7,
    ),
    "a degraded one is lost like any other": ("gsssxxx", [UP] * 3 + [SLOW] * 3 + [AWAY]),
}


@pytest.mark.parametrize("case", RUNS)
def test_the_state_after_each_canary(case: str) -> None:
    letters, expected = RUNS[case]
    assert states(letters) == expected


def test_the_status_says_since_when_why_and_when_it_answered_last() -> None:
    told = play("ggxxxxx")[-1].link
    assert told == ClusterLink(
        state=AWAY,
        since=at(4),
        last_contact=at(1),
        reason=Reason.UNREACHABLE,
        message="no route",
        cluster_uid="uid-1",
    )


def test_a_cluster_that_never_answered_has_no_last_contact() -> None:
    told = play("x")[-1].link
    assert told is not None
    assert (told.last_contact, told.cluster_uid) == (None, None)


def test_what_does_not_change_the_state_is_not_written() -> None:
    before, *others = play("ggggxxgggg")
    assert all(history.link is before.link for history in others)


def test_another_reason_of_the_same_state_is_written_and_its_time_is_kept() -> None:
    told = play("cm")[-1].link
    assert told is not None
    assert (told.reason, told.message, told.since) == (
        Reason.KUBECONFIG_MISSING,
        "no Secret",
        at(0),
    )


def test_other_words_of_the_same_reason_are_not_written() -> None:
    first = play("x")[-1]
    worded = Canary(failure=Failure(AWAY, Reason.UNREACHABLE, "connection refused"))
    assert follow(first, worded, at(9)).link is first.link


def test_a_uid_that_is_learnt_later_is_written() -> None:
    start = recalled(link(UP))
    told = follow(start, GOOD, at(1)).link
    assert told is not None
    assert (told.cluster_uid, told.since) == ("uid-1", at(0))


def test_a_long_message_is_cut() -> None:
    failure = Failure(AWAY, Reason.UNREACHABLE, "x" * 2000)
    told = follow(History(), Canary(failure=failure), at(0)).link
    assert told is not None
    assert len(told.message) == 1024


@pytest.mark.parametrize("state", LinkState)
def test_a_restarted_hub_goes_on_from_the_status(state: LinkState) -> None:
    start = recalled(link(state, lastContact=at(3)))
    one_good, one_bad = states("g", start), states("x", start)
    assert (one_good, one_bad) == ([state], [state])
    assert start.last_contact == at(3)
    assert start.is_usable == (state in USABLE)


def test_before_the_first_canary_nothing_is_known() -> None:
    assert recalled(None) == History()
    assert not recalled(None).is_usable


letters = st.text(alphabet="gsxcm", min_size=1, max_size=60)


@given(letters)
def test_a_link_is_lost_and_found_at_most_every_third_canary(run: str) -> None:
    usable = [state in USABLE for state in states(run)]
    changes = [number for number, (a, b) in enumerate(pairwise(usable)) if a is not b]
    assert all(later - earlier >= IN_A_ROW for earlier, later in pairwise(changes))


@given(letters)
def test_a_usable_link_is_lost_only_by_failures_in_a_row(run: str) -> None:
    found = states(run)
    for number, (before, after) in enumerate(pairwise(found), start=1):
        if before in USABLE and after not in USABLE:
            assert set(run[number - IN_A_ROW + 1 : number + 1]) <= set("xcm")
        if before not in USABLE and after in USABLE:
            assert set(run[number - IN_A_ROW + 1 : number + 1]) <= set("gs")


@given(letters)
def test_a_minute_of_one_kind_decides_whatever_was_before(run: str) -> None:
    for letter, state in {"g": UP, "s": SLOW, "x": AWAY, "c": OUT}.items():
        assert states(run + letter * (WINDOW + IN_A_ROW))[-1] is state


HEARD = Canary(cluster_uid="uid-1", by_agent=True)
OVERDUE = Canary(failure=Failure(AWAY, Reason.UNREACHABLE, "nothing heard"), by_agent=True)


def test_of_an_agent_that_calls_it_is_not_said_that_the_hub_does() -> None:
    first = follow(History(), HEARD, at(0))
    assert first.link is not None
    assert first.link.message == "The cluster's agent calls the hub"
    history = first
    for number, canary in enumerate((OVERDUE, HEARD, OVERDUE, HEARD, OVERDUE)):
        history = follow(history, canary, at(number + 1))
    assert history.link is not None
    assert history.link.state is SLOW
    assert "a heartbeat of the cluster's agent was overdue" in history.link.message
