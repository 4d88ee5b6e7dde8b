"""What one model asks of the clusters, and what it has already."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Final

from smallmodel_operator.api.where import Tier
from smallmodel_operator.placement.choice.facts import Location, Taint
from smallmodel_operator.placement.once import Once

_AIM: Final = 0.8
"""Share of what a replica can do at which another is expected, as Ray Serve's autoscaler keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """What a data source says of where its data may be read."""

    source: str
    """The data source's name."""
    jurisdictions: frozenset[str]
    """Countries."""
    required: bool = True
    """False: a cluster inside is preferred, and one outside will do."""
    grace_seconds: float = 0.0
    """How long a copy that it comes to forbid may go on until another one answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Data that the model reads."""

    source: str
    locations: tuple[Location, ...]
    """Each has all of it."""
    gb_per_hour: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """How much is asked of one copy."""

    least: int = 0
    most: int = 1
    target_ongoing: int = 1
    """Requests at a time that one replica is to have."""
    requests_per_second: float | None = None
    """Smoothed; None: not seen."""
    seconds_per_request: float = 1.0

    @property
    def replicas(self) -> int:
        """Return how many replicas to expect: as many as the autoscaler would make."""
        if self.requests_per_second is None:
            return max(1, self.least)
        busy = self.requests_per_second * self.seconds_per_request
        return max(1, self.least, min(self.most, ceil(busy / (self.target_ongoing * _AIM))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Toleration:
    """A taint that the model puts up with."""

    key: str
    value: str | None = None
    """None: whatever the value is."""

    def covers(self, taint: Taint) -> bool:
        """Return whether it is this taint."""
        return self.key == taint.key and self.value in (None, taint.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What the model's author sets. None and empty are no bound."""

    tiers: frozenset[Tier] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    max_cost_hour: float | None = None
    """Of one copy."""
    max_grid: float | None = None
    """g CO2e per kWh."""
    max_rtt_ms: float | None = None
    """From the clients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incumbent:
    """A copy that runs."""

    cluster: str
    seconds: float
    """How long it has been there."""
    stands_in_for: str | None = None
    """The cluster of another copy that could not be reached when this one was begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A cluster where a copy was not verified in time."""

    cluster: str
    attempts: int
    until: str
    """When it is tried there again, as RFC 3339."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streak:
    """How often in a row one cluster was better than another by enough."""

    incumbent: str
    challenger: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Wish:
    """One model."""

    # Without slots, which would leave no room for what is worked out once and asked for often.

    key: str
    """Its identity; breaks ties."""
    copies: int = 1
    demand: Demand = Demand()
    laws: tuple[Law, ...] = ()
    reads: tuple[Read, ...] = ()
    answers_gb_per_hour: float = 0.0
    clients: tuple[Location, ...] = ()
    """Where its callers are; none: nobody says."""
    weights_home: Location | None = None
    """Where weights are fetched from; None: a public source, whose owner pays for the bytes."""
    digests: frozenset[str] = frozenset()
    """Of the weights of any of its options."""
    bounds: Bounds = Bounds()
    incumbents: tuple[Incumbent, ...] = ()
    leaving: frozenset[str] = frozenset()
    """Clusters where a copy is being taken down."""
    failures: tuple[Failure, ...] = ()
    """Clusters where a copy is not tried for now."""
    substitutes: bool = False
    """Whether another copy is made beside one that cannot be reached."""
    streak: Streak | None = None
    """What the decision before returned."""
    counts: bool = True
    """False: the decision before was a moment ago, and this one does not make a streak longer."""

    @Once
    def replicas(self) -> int:
        """How many replicas of a copy to expect."""
        return self.demand.replicas

    @Once
    def preferred(self) -> tuple[Law, ...]:
        """Laws that a cluster had better be inside of."""
        return tuple(law for law in self.laws if not law.required)

    def has(self, cluster: str) -> bool:
        """Return whether a copy runs there."""
        return cluster in self.clusters

    @Once
    def clusters(self) -> frozenset[str]:
        """Where copies run."""
        return frozenset(one.cluster for one in self.incumbents)

    @Once
    def stand_ins(self) -> frozenset[str]:
        """Where copies run that stand in for another one that is still wanted."""
        return frozenset(
            one.cluster for one in self.incumbents if one.stands_in_for in self.clusters
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How the installation weighs one thing against another. Money in its one currency."""

    currency: str = "USD"
    horizon_hours: float = 168.0
    """How long a decision is expected to stand: what happens once is spread over it."""
    carbon_price_ton: float = 190.0
    """Of a metric ton of CO2e. EPA's social cost of carbon, December 2023, for 2020; 0 is
    allowed."""
    utilisation: float = 0.6
    """Share of their power that devices and cores take."""
    least_gain_hour: float = 0.05
    least_gain_share: float = 0.15
    """A move has to save the larger of the two."""
    disruption: float = 0.10
    """What a move costs beside its bytes, once."""
    evaluations: int = 3
    """So often in a row a challenger has to be better."""
    dwell_seconds: float = 1800.0
    """A copy stays at least so long."""
    uplink_headroom: float = 0.7
    """Share of a line that reads may take."""
    capacity_age_max: float = 300.0
    """Seconds after which what was seen of nodes is no ground for a new copy, and after which a
    copy that cannot be reached gets another one beside it, where its author wants that."""
    unhealthy_share_max: float = 0.55
    """Share of clusters that cannot be worked with above which nothing moves."""
    moves_per_minute: int = 10
    """Of all models together."""


USUAL: Final = Policy()
"""How an installation weighs that says nothing of it."""
