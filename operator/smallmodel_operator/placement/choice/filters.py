"""What speaks against a cluster, whatever it costs: one function for each question.

The law comes first (`law.py`), then what is known of the cluster and its line, then what runs
there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.where import TaintEffect
from smallmodel_operator.placement.choice.case import Case, Line, Rejection
from smallmodel_operator.placement.choice.codes import Code
from smallmodel_operator.placement.choice.facts import Facts, Link
from smallmodel_operator.placement.choice.law import residency_allows
from smallmodel_operator.placement.choice.money import remote_gb
from smallmodel_operator.placement.choice.wish import Policy
from smallmodel_operator.placement.choice.words import listed
from smallmodel_operator.placement.once import Once

_MBIT_OF_GB_PER_HOUR: Final = 8000.0 / 3600.0


Filter = Callable[[Case, Facts], Rejection | None]


def is_declared(case: Case, place: Facts) -> Rejection | None:
    """Refuse new copies on a cluster of which no ModelCluster is known."""
    if place.link is not Link.UNDECLARED:
        return None
    return Rejection(
        code=Code.NOT_DECLARED,
        message=f"There is no ModelCluster {place.name}, so nothing is known of it; what runs "
        "there stays. Create it again.",
        holds=True,
        waits=True,
    )


def is_not_going(case: Case, place: Facts) -> Rejection | None:
    """Refuse a cluster that is being removed."""
    if place.link is not Link.TERMINATING:
        return None
    return Rejection(code=Code.TERMINATING, message=f"{place.name} is being removed from the hub.")


def lets_the_hub_in(case: Case, place: Facts) -> Rejection | None:
    """Refuse new copies where the hub is not let in."""
    if place.link is not Link.CREDENTIAL_ERROR:
        return None
    return Rejection(
        code=Code.CREDENTIAL_ERROR,
        message=f"{place.name} answers and refuses the hub's credentials. Renew them; "
        "what runs there stays.",
        holds=True,
        waits=True,
    )


def is_reachable(case: Case, place: Facts) -> Rejection | None:
    """Refuse new copies where the hub sees nothing."""
    if place.link is not Link.UNREACHABLE:
        return None
    autonomy = "Substitute" if case.wish.substitutes else "Keep"
    return Rejection(
        code=Code.UNREACHABLE,
        message=f"{place.name} does not answer; unreachable is not gone, so what runs there stays "
        f"(whenUnreachable: {autonomy}).",
        holds=True,
        waits=True,
    )


def has_the_api(case: Case, place: Facts) -> Rejection | None:
    """Refuse a cluster without what serving needs."""
    missing = place.missing_api
    return Rejection(code=Code.API_MISSING, message=missing, holds=True) if missing else None


def is_in_bounds(case: Case, place: Facts) -> Rejection | None:
    """Refuse a cluster that the model's author leaves out."""
    bounds = case.wish.bounds
    if bounds.tiers and place.tier not in bounds.tiers:
        return Rejection(
            code=Code.NOT_SELECTED,
            message=f"{place.name} is of tier {place.tier or 'unknown'}, and "
            f"spec.placement.tiers has {listed(bounds.tiers)}. Add its tier there, or have an "
            "administrator correct the ModelCluster.",
        )
    for key, value in sorted(bounds.labels.items()):
        if place.labels.get(key) != value:
            return Rejection(
                code=Code.NOT_SELECTED,
                message=f"{place.name} has no label {key}={value}, which "
                "spec.placement.clusterSelector asks for. Change the selector, or have an "
                "administrator label the ModelCluster.",
            )
    return None


def taints_are_tolerated(case: Case, place: Facts) -> Rejection | None:
    """Refuse a cluster with a taint that the model does not tolerate."""
    tolerations = case.wish.bounds.tolerations
    for taint in place.taints:
        if any(one.covers(taint) for one in tolerations):
            continue
        return Rejection(
            code=Code.TAINTED,
            message=f"{place.name} has the taint {taint.described}, which "
            "spec.placement.tolerations does not name.",
            holds=taint.effect is TaintEffect.NO_SELECT_IF_NEW,
        )
    return None


def data_can_come_in(case: Case, place: Facts) -> Rejection | None:
    """Refuse an isolated cluster that lacks what the model needs."""
    wish = case.wish
    if not place.network.isolated:
        return None
    away = sorted(read.source for read in wish.reads if remote_gb(read, place, case.market) > 0)
    if away:
        return Rejection(
            code=Code.AIR_GAP,
            message=f"{place.name} is isolated, and {listed(away)} lies elsewhere.",
        )
    if wish.digests & place.weights or wish.has(place.name):
        return None
    return Rejection(
        code=Code.AIR_GAP,
        message=f"{place.name} is isolated and has no weights of this model. Bring them there "
        "first.",
    )


def line_suffices(case: Case, place: Facts) -> Rejection | None:
    """Refuse a cluster whose line, or whose data's line, the reads would fill."""
    policy, market = case.policy, case.market
    lines, here = case.lines_of_data, place.network.uplink_mbit
    if here is not None:
        lines = (Line(name=place.name, uplink_mbit=here, reads=case.wish.reads), *lines)
    for name, uplink, reads in lines:
        rate = sum(remote_gb(read, place, market) for read in reads) * _MBIT_OF_GB_PER_HOUR
        if rate > uplink * policy.uplink_headroom:
            return Rejection(
                code=Code.UPLINK_CAPACITY,
                message=f"Reads of {rate:.4g} Mbit/s would have to pass the line of {name}, which "
                f"has {uplink:g} Mbit/s, of which reads may take {policy.uplink_headroom:.0%}.",
            )
    return None


def clients_reach_it(case: Case, place: Facts) -> Rejection | None:
    """Refuse a cluster that callers elsewhere cannot ask: its gateway has no address."""
    if place.gateway is not None:
        return None
    for client in case.wish.clients:
        # Who is in none of the clusters asks the hub's gateway.
        if client.cluster == place.name or (client.cluster is None and place.is_hub):
            continue
        return Rejection(
            code=Code.NOT_REACHABLE,
            message=f"Callers in {client.described} cannot reach {place.name}, whose ModelCluster "
            "has no spec.gateway.address. An administrator sets it there, or leave this client "
            "out of spec.placement.clients.",
        )
    return None


def clients_are_near(case: Case, place: Facts) -> Rejection | None:
    """Refuse a cluster that is too far from the callers, or where nobody knows how far."""
    bound, clients = case.wish.bounds.max_rtt_ms, case.wish.clients
    if bound is None:
        return None
    if not clients:
        return _too_far(place, "the clients", None, bound)
    for client in clients:
        found = case.market.round_trip_ms(place, client)
        if found is None or found > bound:
            return _too_far(place, client.described, found, bound)
    return None


def _too_far(place: Facts, clients: str, found: float | None, bound: float) -> Rejection:
    far = "is not known" if found is None else f"is {found:g} ms"
    step = (
        "An administrator declares it in spec.network.roundTrips of the ModelCluster."
        if found is None
        else "Raise it, or name other spec.placement.clients."
    )
    return Rejection(
        code=Code.LATENCY_BOUND,
        message=f"The round trip from {clients} to {place.name} {far}, and "
        f"spec.placement.maxRoundTrip is {bound:g} ms. {step}",
    )


def grid_is_clean(case: Case, place: Facts) -> Rejection | None:
    """Refuse a cluster on a grid above the model's cap."""
    cap = case.wish.bounds.max_grid
    grid = case.market.rates[place.name].grid
    if cap is None or grid.value <= cap:
        return None
    how = f" ({grid.source}, assumed)" if grid.assumed else ""
    return Rejection(
        code=Code.CARBON_CAP,
        message=f"The grid of {place.name} has {grid.value:g} g/kWh{how}, and "
        f"spec.placement.maxGridIntensity is {cap:g}.",
    )


def facts_are_fresh(case: Case, place: Facts) -> Rejection | None:
    """Refuse new copies where nobody looked for long."""
    age, most = place.capacity_age, case.policy.capacity_age_max
    if not is_stale(place, case.policy):
        return None
    seen = "was never seen" if age is None else f"was seen {age:.0f} s ago"
    if place.seen_at is not None:
        seen = f"was last seen at {place.seen_at}"
    return Rejection(
        code=Code.STALE_FACTS,
        message=f"What {place.name} has room for {seen}, and new copies need what is at "
        f"most {most:.0f} s old; what runs there stays.",
        holds=True,
        waits=True,
    )


def nothing_is_left_there(case: Case, place: Facts) -> Rejection | None:
    """Refuse a cluster where a copy of the model is on its way out, until it is gone."""
    if place.name not in case.wish.leaving:
        return None
    return Rejection(
        code=Code.LEAVING,
        message=f"A copy of the model is still being taken down on {place.name}.",
        waits=True,
    )


def has_not_failed(case: Case, place: Facts) -> Rejection | None:
    """Refuse a cluster where a copy did not answer in time, until it is tried there again."""
    failed = next((one for one in case.wish.failures if one.cluster == place.name), None)
    if failed is None:
        return None
    times = "once" if failed.attempts == 1 else f"{failed.attempts} times"
    return Rejection(
        code=Code.FAILED_HERE,
        message=f"A copy on {place.name} did not answer within spec.placement.progressDeadline, "
        f"{times}; it is tried there again at {failed.until}.",
        waits=True,
    )


FILTERS: Final[tuple[Filter, ...]] = (
    residency_allows,
    is_not_going,
    lets_the_hub_in,
    is_reachable,
    has_the_api,
    is_in_bounds,
    taints_are_tolerated,
    data_can_come_in,
    line_suffices,
    clients_reach_it,
    clients_are_near,
    grid_is_clean,
    nothing_is_left_there,
    has_not_failed,
    facts_are_fresh,
)
_OF_THE_PLACE: Final = frozenset(
    {
        is_not_going,
        lets_the_hub_in,
        is_reachable,
        has_the_api,
        taints_are_tolerated,
        data_can_come_in,
        facts_are_fresh,
    }
)
"""Those that a cluster of which nothing bad is known passes, whatever the model."""


@dataclass(frozen=True, kw_only=True)
class Questions:
    """What one model asks of each cluster."""

    # Without slots, which would leave no room for what is worked out once and asked for often.

    case: Case

    @Once
    def of_plain(self) -> tuple[Filter, ...]:
        """Those that it has of a cluster of which nothing bad is known."""
        wish, bounds = self.case.wish, self.case.wish.bounds
        idle: dict[Filter, bool] = {
            residency_allows: self.case.allowed is None,
            is_in_bounds: not bounds.tiers and not bounds.labels,
            line_suffices: not wish.reads,
            clients_reach_it: not wish.clients,
            clients_are_near: bounds.max_rtt_ms is None,
            grid_is_clean: bounds.max_grid is None,
            nothing_is_left_there: not wish.leaving,
            has_not_failed: not wish.failures,
        }
        return tuple(
            check for check in FILTERS if check not in _OF_THE_PLACE and not idle.get(check)
        )

    def first_rejection(self, place: Facts) -> Rejection | None:
        """Return what counts against a cluster, or None.

        The first that keeps even a running copy away; where there is none, the first of the others.
        """
        if place.is_plain:
            # None of these questions holds a copy.
            for check in self.of_plain:
                rejection = check(self.case, place)
                if rejection is not None:
                    return rejection
            return None
        held = is_declared(self.case, place)
        if held is not None:
            # Its jurisdiction is not known either, which is no proof that a law forbids it.
            return held
        for check in FILTERS:
            rejection = check(self.case, place)
            if rejection is not None and not rejection.holds:
                return rejection
            held = held or rejection
        return held


def is_stale(place: Facts, policy: Policy) -> bool:
    """Return whether what was seen of a cluster's nodes is too old for new copies."""
    return place.capacity_age is None or place.capacity_age > policy.capacity_age_max
