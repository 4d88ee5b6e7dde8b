"""What holds over any history of prices, links, room and laws, with copies carried out one by one.

The hub learns at once; a member that is cut off learns when it is reached again.
"""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from builders.clusters import node, view
from builders.fake_hub import FakeHub, law, priced
from smallmodel_operator.api.jurisdictions import countries
from smallmodel_operator.api.smallmodel import CopyState
from smallmodel_operator.placement.choice.facts import Link
from smallmodel_operator.placement.choice.wish import USUAL
from smallmodel_operator.reconcile.clock import seconds_between

NAMES = ("a", "b", "c", "d")
COUNTRIES = ("DE", "FR", "US")
GRACE = {"0s": 0.0, "2m": 120.0}

names = st.sampled_from(NAMES)
prices = st.sampled_from(["0.1", "1", "2", "9"])
borders = st.none() | st.sampled_from(COUNTRIES)


class Histories(RuleBasedStateMachine):
    """One model on a hub with four clusters."""

    @initialize(
        copies=st.integers(1, 3),
        when=st.sampled_from(["Keep", "Substitute"]),
        costs=st.tuples(*[prices] * len(NAMES)),
    )
    def begin(self, copies: int, when: str, costs: tuple[str, ...]) -> None:
        self.hub = FakeHub()
        self.hub.join(*(priced(name, core) for name, core in zip(NAMES, costs, strict=True)))
        self.bounds = {
            "copies": copies, "whenUnreachable": when, "progressDeadline": "5m",
        }  # fmt: skip
        self.hub.ask(placement=self.bounds).settle()
        self.unlawful: dict[str, str] = {}
        """By cluster: since when its member could have known that its copy is not allowed."""

    @rule(name=names, core=prices, border=borders)
    def declare(self, name: str, core: str, border: str | None) -> None:
        self._begin()
        self.hub.join(priced(name, core, border))
        self._pass()

    @rule(name=names, link=st.sampled_from([Link.UNREACHABLE, Link.CREDENTIAL_ERROR]))
    def cut(self, name: str, link: Link) -> None:
        self._begin()
        self.hub.cut(name, link=link)
        self._pass()

    @rule(name=names)
    def mend(self, name: str) -> None:
        self._begin()
        self.hub.mend(name)
        self._pass()

    @rule(name=names, full=st.booleans())
    def room(self, name: str, full: bool) -> None:
        self._begin()
        busy = node(free_cpu_cores=0.0, free_memory_bytes=0)
        self.hub.views[name] = view(busy if full else node(), name=name)
        self._pass()

    @rule(name=names, broken=st.booleans())
    def health(self, name: str, broken: bool) -> None:
        (self.hub.broken.add if broken else self.hub.broken.discard)(name)

    @rule(
        allowed=st.sets(st.sampled_from(COUNTRIES), min_size=1),
        grace=st.sampled_from(list(GRACE)),
    )
    def new_law(self, allowed: set[str], grace: str) -> None:
        self._begin()
        self.hub.sources = (law(*sorted(allowed), graceful=grace),)
        self._pass()

    @rule()
    def no_law(self) -> None:
        self._begin()
        self.hub.sources = ()
        self._pass()

    @rule(copies=st.integers(1, 3))
    def another_spec(self, copies: int) -> None:
        self._begin()
        self.bounds = {**self.bounds, "copies": copies}
        self.hub.ask(placement=self.bounds)
        self._pass()

    @rule(minutes=st.integers(1, 40))
    def wait(self, minutes: int) -> None:
        for _ in range(minutes):
            self._begin()
            self.hub.wait(60)
            self._check()

    def _begin(self) -> None:
        self.before = len(self.hub.made)

    def _pass(self) -> None:
        self.hub.settle(passes=1)
        self._check()

    def _check(self) -> None:
        allowed = self._allowed()
        for _, name in self.hub.made[self.before :]:
            assert allowed is None or self._border(name) in allowed, "it was begun outside"
            assert name not in self.hub.links, "it was begun where nobody sees"
        self._note_unlawful(allowed)

    def _note_unlawful(self, allowed: frozenset[str] | None) -> None:
        there = {
            one.spec.cluster
            for one in self.hub.copies()
            if allowed is not None and self._border(one.spec.cluster) not in allowed
        }
        seen = {name for name in there if name not in self.hub.links}
        self.unlawful = {name: self.unlawful.get(name, self.hub.now) for name in seen}

    def _allowed(self) -> frozenset[str] | None:
        if not self.hub.sources:
            return None
        residency = self.hub.sources[0].spec.residency
        assert residency is not None
        return countries(residency.jurisdictions)

    def _border(self, name: str) -> str | None:
        return self.hub.clusters[name].spec.jurisdiction

    @invariant()
    def no_copy_runs_outside_of_the_law_longer_than_its_grace(self) -> None:
        grace = 0.0
        if self.hub.sources and self.hub.sources[0].spec.residency is not None:
            grace = GRACE[self.hub.sources[0].spec.residency.graceful]
        for name, since in self.unlawful.items():
            assert seconds_between(since, self.hub.now) <= max(grace, 0.0) + 60.0, name

    @invariant()
    def a_copy_that_nobody_can_reach_and_that_the_law_ended_is_said_to_be_unknown(self) -> None:
        allowed = self._allowed()
        self.hub.look()
        states = self.hub.states()
        ended = (one for one in self.hub.copies() if one.metadata.deletion_timestamp)
        for name in (one.spec.cluster for one in ended):
            unlawful = allowed is not None and self._border(name) not in allowed
            if unlawful and name in self.hub.links and self.hub.where():
                assert states[name] is CopyState.RESIDENCY_UNKNOWN


Histories.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestHistories = Histories.TestCase


def fleet(clusters: int, models: int, when: str) -> FakeHub:
    """Models that answer, spread over clusters."""
    hub = FakeHub(policy=replace(USUAL, moves_per_minute=5))
    hub.join(*(priced(f"c-{number:02}", "1") for number in range(clusters)))
    for number in range(models):
        hub.ask(f"m-{number:02}", placement={"whenUnreachable": when})
    return hub.settle(passes=3)


@pytest.mark.parametrize("when", ["Keep", "Substitute"])
def test_thirty_of_forty_clusters_that_fail_at_once_cause_no_stampede(when: str) -> None:
    hub = fleet(40, 40, when)
    begun = len(hub.made)

    hub.cut(*(f"c-{number:02}" for number in range(30))).wait(1200, step=120.0)

    assert hub.made[begun:] == []
    assert hub.dropped == []


def test_of_many_that_are_cut_off_few_get_a_substitute_in_a_minute() -> None:
    hub = fleet(10, 20, "Substitute")
    begun = len(hub.made)
    cut = {f"c-{number:02}" for number in range(5)}
    away = [name for name, cluster in hub.made if cluster in cut]
    assert len(away) > 5

    hub.cut(*cut).wait(360, step=360.0)
    assert len(hub.made) == begun + 5
    hub.wait(60).wait(60).wait(60).wait(60)
    assert len(hub.made) == begun + len(away)


@pytest.mark.parametrize("when", ["Keep", "Substitute"])
def test_a_cut_of_five_minutes_causes_no_move(when: str) -> None:
    hub = fleet(4, 8, when)
    begun = list(hub.made)

    hub.cut("c-00", "c-01").wait(300).mend("c-00", "c-01").wait(600)

    assert (hub.made, hub.dropped) == (begun, [])
