"""What placement needs to know of a cluster beside its nodes. None is not known, never zero."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from smallmodel_operator.api.where import TaintEffect, Tier
from smallmodel_operator.placement.once import Once


class Link(StrEnum):
    """How the hub and a cluster get on."""

    CONNECTED = "Connected"
    DEGRADED = "Degraded"
    """Slow; it answers."""
    BUNDLED = "Bundled"
    """Files are carried there, and what it told by one is new enough."""
    UNREACHABLE = "Unreachable"
    """The network: nothing is known of what runs there."""
    CREDENTIAL_ERROR = "CredentialError"
    """It answers, and does not let the hub in."""
    TERMINATING = "Terminating"
    """It is being removed."""
    UNDECLARED = "Undeclared"
    """No ModelCluster of its name is known: where it is and what it costs is not either."""

    @property
    def is_healthy(self) -> bool:
        """Whether the hub can do something there."""
        return self in (*OPEN, Link.TERMINATING)


OPEN: Final = (Link.CONNECTED, Link.DEGRADED, Link.BUNDLED)
"""States in which new copies may go there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    """Keeps models away that do not tolerate it."""

    key: str
    value: str = ""
    effect: TaintEffect = TaintEffect.NO_SELECT

    @property
    def described(self) -> str:
        """As `key=value:Effect`."""
        return f"{self.key}{'=' if self.value else ''}{self.value}:{self.effect}"


class Location(NamedTuple):
    """A point between which bytes go, as far as it is known."""

    cluster: str | None = None
    provider: str | None = None
    """As the tables name it: aws, gcp, azure."""
    region: str | None = None
    zone: str | None = None
    site: str | None = None
    """A building of one's own."""
    regional: bool = False
    """A service of the whole region, such as S3, and not a machine in one of its zones."""

    @property
    def described(self) -> str:
        """The most precise name there is."""
        return self.cluster or self.site or self.zone or self.region or "an unnamed place"

    @property
    def names(self) -> tuple[str, ...]:
        """Names under which something may be declared of it, the most precise first."""
        return tuple(filter(None, (self.cluster, self.site, self.zone, self.region)))

    def within(self, cluster: "Location") -> "Location":
        """Return it with what the cluster in which it is says of what is left open here."""
        if not (self.provider or self.region or self.zone or self.site):
            return cluster
        is_its_region = self.region in (None, cluster.region)
        return Location(
            cluster=cluster.cluster,
            provider=self.provider or cluster.provider,
            region=self.region or cluster.region,
            zone=self.zone or (cluster.zone if is_its_region else None),
            site=self.site or cluster.site,
        )


NOWHERE: Final = Location()
"""A place of which nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What an hour costs, in the hub's one currency."""

    cpu_hour: float | None = None
    memory_gb_hour: float | None = None
    """Of 10^9 bytes."""
    accelerator_hour: Mapping[str, float] = field(default_factory=dict)
    """By product."""
    paid_kwh: float | None = None
    """Set where the hardware is paid for: only electricity counts, at this price of a kWh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """What its electricity means."""

    grid: float | None = None
    """g CO2e per kWh, a yearly average."""
    pue: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What its line carries, and what a byte costs."""

    uplink_mbit: float | None = None
    isolated: bool = False
    """True: nothing outside can be read from there."""
    egress_gb: Mapping[str, float] = field(default_factory=dict)
    """Price of a GB by destination: a cluster, site, zone, region, or `internet`."""
    rtt_ms: Mapping[str, float] = field(default_factory=dict)
    """Round trip by the same kinds of names."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is declared and seen of one cluster."""

    # Without slots, which would leave no room for what is worked out once and asked for often.

    name: str
    tier: Tier | None = None
    where: Location = NOWHERE
    jurisdiction: str | None = None
    """ISO 3166-1, two letters. Written by an administrator, never by a model's author."""
    labels: Mapping[str, str] = field(default_factory=dict)
    prices: Prices = Prices()
    energy: Energy = Energy()
    network: Network = Network()
    taints: tuple[Taint, ...] = ()
    link: Link = Link.CONNECTED
    capacity_age: float | None = 0.0
    """Seconds since its nodes were seen; None: never."""
    seen_at: str | None = None
    """When that was, as RFC 3339; unlike its age, that is the same in each decision."""
    missing_api: str | None = None
    """What is to be done before anything can be served there."""
    cached: Mapping[str, float] = field(default_factory=dict)
    """By data source: the share of it, 0 to 1, of which a copy is there."""
    weights: frozenset[str] = frozenset()
    """Digests of weights that are there."""
    gateway: str | None = None
    """The address at which gateways of other clusters ask its own."""
    is_hub: bool = False
    """Whether it is the hub's, to whose gateway the address of each model leads."""

    @Once
    def is_plain(self) -> bool:
        """Whether it may be decided for, was seen now, serves, and is open to everything."""
        return (
            self.link in OPEN
            and self.missing_api is None
            and not self.taints
            and not self.network.isolated
            and self.capacity_age == 0.0
        )

    @Once
    def location(self) -> Location:
        """Where it is, under its own name."""
        return Location(
            cluster=self.name,
            provider=self.where.provider,
            region=self.where.region,
            zone=self.where.zone,
            site=self.where.site,
        )

    @Once
    def failure_domain(self) -> str:
        """What fails together with it."""
        where = self.where
        if where.site is not None:
            return f"site {where.site}"
        if where.region is not None:
            return f"region {where.region}"
        return f"cluster {self.name}"
