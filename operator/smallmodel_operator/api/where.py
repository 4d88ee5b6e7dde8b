"""What administrators declare of places, and what models and data ask of them."""

import re
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from smallmodel_operator.api import patterns
from smallmodel_operator.api.base import ApiModel, Duration
from smallmodel_operator.api.cel import keyed_by
from smallmodel_operator.api.jurisdictions import COUNTRIES, GROUPS

_ALLOWED: Final = sorted(COUNTRIES | GROUPS.keys())


class Tier(StrEnum):
    """What kind of place a cluster is."""

    CLOUD = "Cloud"
    """Rented by the hour."""
    ON_PREM = "OnPrem"
    """A data centre of one's own."""
    EDGE = "Edge"
    """Beside where data is made."""


class TaintEffect(StrEnum):
    """What a taint keeps away."""

    NO_SELECT = "NoSelect"
    """Every model that does not tolerate it, running ones too where they have somewhere to go."""
    NO_SELECT_IF_NEW = "NoSelectIfNew"
    """New ones; what runs there stays."""


def _is_country(code: str) -> str:
    if code not in COUNTRIES:
        group = f"; {code} is a group, and a cluster is in one country" if code in GROUPS else ""
        raise ValueError(
            f"{code!r} is no country{group}; write its ISO 3166-1 code of two letters, "
            "for example DE"
        )
    return code


def _is_jurisdiction(code: str) -> str:
    if code not in COUNTRIES and code not in GROUPS:
        raise ValueError(
            f"{code!r} is neither a country nor a group of them; write ISO 3166-1 codes of two "
            f"letters, for example DE, or one of {', '.join(sorted(GROUPS))}"
        )
    return code


Country = Annotated[
    str,
    Field(max_length=2, json_schema_extra={"enum": sorted(COUNTRIES)}),
    AfterValidator(_is_country),
]
"""An ISO 3166-1 code of two letters, such as "DE"."""

Jurisdiction = Annotated[
    str,
    Field(max_length=3, json_schema_extra={"enum": [*_ALLOWED]}),
    AfterValidator(_is_jurisdiction),
]
"""A country, or a group of them: EU or EEA."""

Money = Annotated[str, Field(pattern=patterns.MONEY, max_length=16)]
"""An amount in the installation's one currency, such as "0.031"; `float` reads it."""


def distinct(field: str) -> AfterValidator:
    """Return what refuses a list in which two items have the same value of a field."""

    def check(items: tuple[ApiModel, ...]) -> tuple[ApiModel, ...]:
        values = [getattr(item, field) for item in items]
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise ValueError(f"{field} {twice!r} is given twice; remove one")
        return items

    return AfterValidator(check)


_PLACE_MAX: Final = 63

PlaceName = Annotated[str, Field(pattern=patterns.PLACE_NAME, max_length=_PLACE_MAX)]
"""A provider, region, zone or site, in its owner's spelling."""

PLACE: Final = re.compile(rf"(?=.{{1,{_PLACE_MAX}}}$){patterns.PLACE_NAME}")
"""Matches a PlaceName as a whole: what others say of a place is read by it before it is told."""


class Where(ApiModel):
    """Where a place is. Bytes between two of one site, or of one zone of a provider, are free."""

    provider: PlaceName | None = None
    """As the tables of egress name it: aws, gcp or azure; or another."""
    region: PlaceName | None = None
    """The provider's region."""
    zone: PlaceName | None = None
    """The zone in it."""
    site: PlaceName | None = None
    """A building of one's own."""


class AcceleratorPrice(ApiModel):
    """What a device of one product costs."""

    product: Annotated[str, Field(max_length=63)]
    """As the node label says, for example NVIDIA-L4."""
    hour: Money
    """Of one device."""


class ClusterPrices(ApiModel):
    """What an hour costs. What is not declared is assumed from tables, and never zero."""

    cpu_hour: Money | None = None
    """Of one core."""
    memory_gb_hour: Annotated[Money | None, Field(alias="memoryGBHour")] = None
    """Of 10^9 bytes."""
    accelerators: Annotated[
        tuple[AcceleratorPrice, ...],
        Field(max_length=32, json_schema_extra=keyed_by("product")),
        distinct("product"),
    ] = ()
    """Of devices, by product."""
    electricity_kwh: Annotated[Money | None, Field(alias="electricityKWh")] = None
    """Set where the hardware is paid for: only its electricity counts, at this price of a kWh."""


class ClusterEnergy(ApiModel):
    """What the cluster's electricity means. What is not declared is the country's average."""

    grid_intensity: Annotated[int, Field(ge=0, le=2000)] | None = None
    """g CO2e per kWh, an average over a year."""
    pue: Annotated[str, Field(pattern=patterns.PUE, max_length=5)] | None = None
    """What the building takes for one unit of the machines: at least 1."""


class EgressPrice(ApiModel):
    """What bytes to one destination cost."""

    to: Annotated[str, Field(max_length=63)]
    """A cluster, site, zone or region; or `internet`, for what is outside of the provider."""
    gb: Annotated[Money, Field(alias="perGB")]
    """Of 10^9 bytes."""


class RoundTrip(ApiModel):
    """How far a place is."""

    to: PlaceName
    """A cluster, site, zone or region."""
    time: Duration
    """There and back, such as "35ms"; it counts in both directions."""


class ClusterNetwork(ApiModel):
    """What the cluster's line carries, what bytes cost that leave it, and how far others are."""

    uplink_mbit: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """Mbit/s; reads of data may take 70 % of it. Unset: no bound."""
    egress: Annotated[
        tuple[EgressPrice, ...],
        Field(max_length=64, json_schema_extra=keyed_by("to")),
        distinct("to"),
    ] = ()
    """By destination; what is not declared is the provider's list price."""
    round_trips: Annotated[
        tuple[RoundTrip, ...],
        Field(max_length=64, json_schema_extra=keyed_by("to")),
        distinct("to"),
    ] = ()
    """To other places; one that neither end declares is not known, which is never near."""


class ClusterTaint(ApiModel):
    """Keeps models away that do not tolerate it."""

    key: Annotated[str, Field(pattern=patterns.TAINT_KEY, max_length=63)]
    """What `spec.placement.tolerations` of a SmallModel names."""
    value: Annotated[str, Field(max_length=63)] = ""
    """One of several meanings of the key."""
    effect: TaintEffect = TaintEffect.NO_SELECT
    """What it keeps away."""


class ClusterToleration(ApiModel):
    """A taint of clusters that the model puts up with."""

    key: Annotated[str, Field(max_length=63)]
    """The taint's key."""
    value: Annotated[str, Field(max_length=63)] | None = None
    """The taint's value; unset: any."""


class WhenUnreachable(StrEnum):
    """What becomes of a copy whose cluster cannot be reached: it goes on there in any case."""

    KEEP = "Keep"
    """Nothing else."""
    SUBSTITUTE = "Substitute"
    """Another copy is made beside it, and given back when the cluster answers again."""


class PlacementBounds(ApiModel):
    """Where the model may run, and what it may cost there. Empty and unset are no bound."""

    copies: Annotated[int, Field(ge=1, le=20)] = 1
    """Clusters that serve it, in as many sites and regions as there are."""
    when_unreachable: WhenUnreachable = WhenUnreachable.KEEP
    """What becomes of a copy whose cluster cannot be reached."""
    progress_deadline: Duration = "10m"
    """A copy that has not answered after this time is tried on another cluster."""

    cluster_selector: dict[str, Annotated[str, Field(max_length=63)]] = Field(
        default_factory=dict, max_length=16
    )
    """Labels that the ModelCluster must have."""
    tiers: Annotated[tuple[Tier, ...], Field(max_length=3)] = ()
    """Kinds of places."""
    tolerations: Annotated[tuple[ClusterToleration, ...], Field(max_length=16)] = ()
    """Taints of clusters that the model puts up with."""
    max_cost_per_hour: Money | None = None
    """Of the copy with its expected replicas, in the installation's currency."""
    max_grid_intensity: Annotated[int, Field(ge=0, le=2000)] | None = None
    """g CO2e per kWh of the cluster's grid."""
    clients: Annotated[tuple[PlaceName, ...], Field(max_length=16)] = ()
    """Clusters or regions of the callers, all of which must reach the model; empty: the hub's."""
    max_round_trip: Duration | None = None
    """From each of the clients to the cluster that serves the model, such as "40ms"."""


class CandidateCost(ApiModel):
    """What the copy costs there in an hour, by what it is for; amounts are texts."""

    currency: Annotated[str, Field(max_length=8)]
    """The installation's."""
    total: str
    """All of it."""
    compute: str
    """Cores, memory and devices, or their electricity."""
    data: str
    """Bytes that are read from elsewhere."""
    carbon: str
    """Emissions, at the installation's price of a ton."""
    one_time: str
    """What a new copy costs once, spread over a week."""


class Candidate(ApiModel):
    """One cluster, and what was said of it."""

    cluster: Annotated[str, Field(max_length=63)]
    """The ModelCluster."""
    selected: bool
    """Whether it serves a copy."""
    reason: Annotated[str, Field(pattern=patterns.REASON, max_length=63)]
    """Why, in one word."""
    message: Annotated[str, Field(max_length=512)] = ""
    """Why, with numbers."""
    cost: CandidateCost | None = None
    """Unset where something spoke against it before money."""
    grams_co2e_per_hour: Annotated[str | None, Field(alias="gramsCO2ePerHour")] = None
    """What it would emit."""
    assumed: Annotated[tuple[str, ...], Field(max_length=16)] = ()
    """Numbers of the cost that nobody declared of this cluster, with where they come from."""


class Challenge(ApiModel):
    """A cluster that would be better than one that has a copy, and has to be so for longer."""

    cluster: Annotated[str, Field(max_length=63)]
    """The one that has the copy."""
    challenger: Annotated[str, Field(max_length=63)]
    """The one that would be better."""
    count: int
    """Decisions in a row in which it was."""
    at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When the last of them was taken."""


class FailedCluster(ApiModel):
    """A cluster where a copy did not answer within `spec.placement.progressDeadline`."""

    cluster: Annotated[str, Field(max_length=63)]
    """The ModelCluster."""
    generation: int
    """Of the spec that was tried; another one is tried everywhere at once."""
    attempts: int
    """How often that was so."""
    until: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When it is tried there again."""


class Decision(ApiModel):
    """Why the model is where it is."""

    summary: Annotated[str, Field(max_length=512)]
    """Clusters selected, and the others by reason."""
    candidates: Annotated[
        tuple[Candidate, ...], Field(max_length=20, json_schema_extra=keyed_by("cluster"))
    ] = ()
    """The selected ones first, then the nearest misses."""
    challenge: Challenge | None = None
    """Set while a move for money may come."""
    failures: Annotated[
        tuple[FailedCluster, ...] | None,
        Field(max_length=20, json_schema_extra=keyed_by("cluster")),
    ] = None
    """Clusters where it is not tried for now."""
