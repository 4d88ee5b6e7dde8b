"""What the API's objects say, as the choice among clusters needs it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from smallmodel_operator.api.base import amount, seconds
from smallmodel_operator.api.conditions import ClusterConditionType
from smallmodel_operator.api.datasource import (
    AppliesTo,
    DataLocation,
    DataSource,
    Enforcement,
)
from smallmodel_operator.api.jurisdictions import countries
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.names import LOCAL_CLUSTER
from smallmodel_operator.api.smallmodel import SmallModelSpec
from smallmodel_operator.api.where import (
    ClusterEnergy,
    ClusterNetwork,
    ClusterPrices,
    PlacementBounds,
    Where,
)
from smallmodel_operator.placement.choice.facts import (
    Energy,
    Facts,
    Link,
    Location,
    Network,
    Prices,
    Taint,
)
from smallmodel_operator.placement.choice.filters import is_stale
from smallmodel_operator.placement.choice.money import Market, market_of
from smallmodel_operator.placement.choice.tables import SHIPPED, Tables
from smallmodel_operator.placement.choice.wish import (
    USUAL,
    Bounds,
    Law,
    Policy,
    Read,
    Toleration,
)
from smallmodel_operator.placement.once import Once

_GB: Final = 1e9


@dataclass(frozen=True, kw_only=True)
class Around:
    """What a model is placed among, its room aside."""

    # Without slots, which would leave no room for what is worked out once and asked for often.

    clusters: tuple[Facts, ...]
    sources: tuple[DataSource, ...] = ()
    """The DataSources of the model's namespace, by name."""
    unread_sources: tuple[str, ...] = ()
    """Names of those that cannot be read: what they bind is not known."""
    policy: Policy = USUAL
    """How things are weighed."""
    tables: Tables = SHIPPED
    """For what is not declared."""

    @Once
    def market(self) -> Market:
        """The clusters with what counts at each of them."""
        return market_of(self.clusters, self.tables)

    @Once
    def circumstances(self) -> tuple[object, ...]:
        """What a decision depends on: of what was seen, not how old it is but whether too old."""
        aside = (replace(one, capacity_age=0.0) for one in self.clusters)
        stale = (is_stale(one, self.policy) for one in self.clusters)
        return (*aside, *stale, self.sources, self.unread_sources)

    @Once
    def names(self) -> frozenset[str]:
        """Those of the clusters."""
        return frozenset(one.name for one in self.clusters)

    @Once
    def carried(self) -> frozenset[str]:
        """Names of clusters that are heard of by files alone."""
        return frozenset(one.name for one in self.clusters if one.link is Link.BUNDLED)

    @Once
    def places(self) -> frozenset[str]:
        """Names of clusters, and of what is declared of where they and others are."""
        return self.names.union(
            *(one.where.names for one in self.clusters),
            *(one.network.rtt_ms for one in self.clusters),
        )

    @property
    def pause(self) -> str | None:
        """Why nothing moves: too many clusters cannot be worked with; None: it may."""
        bad = sum(not one.link.is_healthy for one in self.clusters)
        if bad <= self.policy.unhealthy_share_max * len(self.clusters):
            return None
        return (
            f"{bad} of {len(self.clusters)} clusters cannot be worked with, and above "
            f"{self.policy.unhealthy_share_max:.0%} nothing moves"
        )

    def with_clusters(self, names: Iterable[str]) -> "Around":
        """Return the same with clusters of which copies are known and no ModelCluster is."""
        missing = sorted(set(names) - self.names)
        if not missing:
            return self
        unknown = tuple(
            Facts(name=name, link=Link.UNDECLARED, capacity_age=None) for name in missing
        )
        return replace(self, clusters=(*self.clusters, *unknown))


def facts_of(
    cluster: ModelCluster, cached: Iterable[DataSource] = (), now: str | None = None
) -> Facts:
    """Return what is declared of a cluster, and how the hub and it get on.

    Args:
        cluster: The ModelCluster.
        cached: Data of which it may have copies.
        now: RFC 3339 time; None: how old what is known of its nodes is does not matter.
    """
    spec = cluster.spec
    seen_at, age = _age(cluster, now)
    return Facts(
        link=_link(cluster),
        capacity_age=age,
        seen_at=seen_at,
        name=cluster.metadata.name,
        tier=spec.tier,
        where=_location(spec.location),
        jurisdiction=spec.jurisdiction,
        labels=cluster.metadata.labels,
        prices=_prices(spec.prices),
        energy=_energy(spec.energy),
        network=_network(spec.network),
        taints=tuple(
            Taint(key=taint.key, value=taint.value, effect=taint.effect) for taint in spec.taints
        ),
        cached={
            source.metadata.name: share.percent / 100
            for source in cached
            for share in source.spec.cached
            if share.cluster == cluster.metadata.name
        },
        gateway=spec.gateway.address if spec.gateway else None,
        is_hub=cluster.metadata.name == LOCAL_CLUSTER,
    )


def _link(cluster: ModelCluster) -> Link:
    if cluster.metadata.deletion_timestamp:
        return Link.TERMINATING
    return Link(cluster.status.link.state) if cluster.status.link else Link.CONNECTED


def _age(cluster: ModelCluster, now: str | None) -> tuple[str | None, float | None]:
    """Return when its nodes were seen last, where that is not now, and how long ago that is."""
    if now is None or cluster.metadata.name == LOCAL_CLUSTER:
        # The hub does nothing at all while it cannot see its own cluster.
        return None, 0.0
    kind = ClusterConditionType.FACTS_FRESH
    fresh = next((one for one in cluster.status.conditions if one.type == kind), None)
    if fresh is None or fresh.status == "Unknown":
        return None, None
    if fresh.status == "True":
        return None, 0.0
    since = datetime.fromisoformat(now) - datetime.fromisoformat(fresh.last_transition_time)
    return fresh.last_transition_time, since.total_seconds()


def laws_of(spec: SmallModelSpec, sources: Sequence[DataSource]) -> tuple[Law, ...]:
    """Return what binds a model: it cannot be evaded by leaving a source out of `spec.data`."""
    named = {use.name for use in spec.data}
    return tuple(
        Law(
            source=source.metadata.name,
            jurisdictions=countries(residency.jurisdictions),
            required=residency.enforcement is Enforcement.REQUIRED,
            grace_seconds=seconds(residency.graceful),
        )
        for source in sources
        if (residency := source.spec.residency) is not None
        and (source.spec.applies_to is AppliesTo.NAMESPACE or source.metadata.name in named)
    )


def reads_of(spec: SmallModelSpec, sources: Sequence[DataSource]) -> tuple[Read, ...]:
    """Return what the model reads of the sources that are there."""
    by_name = {source.metadata.name: source for source in sources}
    return tuple(
        Read(
            source=use.name,
            locations=_locations(by_name[use.name]),
            gb_per_hour=amount(use.read_per_hour) / _GB,
        )
        for use in spec.data
        if use.name in by_name
    )


def missing_source(spec: SmallModelSpec, around: Around) -> str | None:
    """Return what is to be done about data that is not known; None where all of it is."""
    there = {source.metadata.name for source in around.sources}
    if around.unread_sources:
        names = ", ".join(around.unread_sources)
        return (
            f"The DataSource {names} of this namespace cannot be read, so whom it binds is not "
            "known. Its owner has to correct it, or the operator has to be upgraded."
        )
    missing = [use.name for use in spec.data if use.name not in there]
    if not missing:
        return None
    listed = ", ".join(sorted(there)) or "none"
    return (
        f"spec.data names {', '.join(missing)}, and the DataSources of this namespace are: "
        f"{listed}. Correct the name, or have the data's owner create it; a DataSource of another "
        "namespace cannot be named."
    )


def unknown_clients(bounds: PlacementBounds, around: Around) -> str | None:
    """Return what is to be done about callers at places of which nothing is declared, or None."""
    known = around.places
    unknown = [name for name in bounds.clients if name not in known]
    if not unknown:
        return None
    return (
        f"spec.placement.clients names {', '.join(unknown)}, and no ModelCluster is called so or "
        f"declares a place or a round trip of that name. There are: {', '.join(sorted(known))}. "
        "Correct the name, or have an administrator declare it."
    )


def clients_of(bounds: PlacementBounds, around: Around) -> tuple[Location, ...]:
    """Return where the callers are, where the author says so or sets how far that may be."""
    if not bounds.clients and bounds.max_round_trip is None:
        return ()
    return tuple(
        Location(cluster=name)
        if name in around.names or name == LOCAL_CLUSTER
        else Location(region=name)
        for name in bounds.clients or (LOCAL_CLUSTER,)
    )


def bounds_of(bounds: PlacementBounds) -> Bounds:
    """Return what the model's author sets."""
    cost = bounds.max_cost_per_hour
    grid, far = bounds.max_grid_intensity, bounds.max_round_trip
    return Bounds(
        tiers=frozenset(bounds.tiers),
        labels=bounds.cluster_selector,
        tolerations=tuple(Toleration(key=one.key, value=one.value) for one in bounds.tolerations),
        max_cost_hour=float(cost) if cost is not None else None,
        max_grid=float(grid) if grid is not None else None,
        max_rtt_ms=_milliseconds(far) if far is not None else None,
    )


def _locations(source: DataSource) -> tuple[Location, ...]:
    """Return where all of the data is: what its owner says, then what was read of it."""
    by_hand = tuple(_location(one) for one in source.spec.locations)
    bucket = source.status.bucket
    if bucket is not None and bucket.url == source.spec.bucket:
        return by_hand or (Location(provider=bucket.provider, region=bucket.region, regional=True),)
    if source.status.claim != source.spec.claim:
        return by_hand
    named = {one.cluster for one in by_hand}
    found = (
        Location(cluster=one.cluster, region=one.region, zone=one.zone)
        for one in source.status.found
        if one.cluster not in named
    )
    return (*by_hand, *found)


def _location(where: Where) -> Location:
    return Location(
        cluster=where.cluster if isinstance(where, DataLocation) else None,
        provider=where.provider,
        region=where.region,
        zone=where.zone,
        site=where.site,
    )


def _prices(prices: ClusterPrices) -> Prices:
    return Prices(
        cpu_hour=_number(prices.cpu_hour),
        memory_gb_hour=_number(prices.memory_gb_hour),
        accelerator_hour={one.product: float(one.hour) for one in prices.accelerators},
        paid_kwh=_number(prices.electricity_kwh),
    )


def _energy(energy: ClusterEnergy) -> Energy:
    grid = energy.grid_intensity
    return Energy(grid=float(grid) if grid is not None else None, pue=_number(energy.pue))


def _network(network: ClusterNetwork) -> Network:
    return Network(
        uplink_mbit=network.uplink_mbit,
        egress_gb={one.to: float(one.gb) for one in network.egress},
        rtt_ms={one.to: _milliseconds(one.time) for one in network.round_trips},
    )


def _milliseconds(duration: str) -> float:
    # Seconds of a few milliseconds are no round numbers.
    return round(seconds(duration) * 1000, 6)


def _number(text: str | None) -> float | None:
    return float(text) if text is not None else None
