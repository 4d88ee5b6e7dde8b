"""What the API's objects say, as the choice among clusters needs it."""

import pytest
from pydantic import ValidationError

from builders.clusters import declared
from builders.models import small_model
from smallmodel_operator.api.conditions import ClusterConditionType
from smallmodel_operator.api.datasource import DataSource, DataSourceSpec, DataSourceStatus
from smallmodel_operator.api.jurisdictions import GROUPS
from smallmodel_operator.api.meta import Condition, ConditionStatus, ObjectMeta
from smallmodel_operator.api.modelcluster import (
    ClusterLink,
    LinkState,
    ModelCluster,
    ModelClusterStatus,
)
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.where import PlacementBounds, TaintEffect, Tier
from smallmodel_operator.placement.choice.facts import (
    Energy,
    Link,
    Location,
    Network,
    Prices,
    Taint,
)
from smallmodel_operator.placement.choice.wish import Bounds, Toleration
from smallmodel_operator.placement.declared import (
    Around,
    bounds_of,
    clients_of,
    facts_of,
    laws_of,
    reads_of,
)

SINCE, NOW = "2026-11-24T12:00:00Z", "2026-11-24T12:07:00Z"


def source(name: str, **spec: object) -> DataSource:
    return DataSource(
        metadata=ObjectMeta(name=name, namespace="team"), spec=DataSourceSpec.model_validate(spec)
    )


def test_a_cluster_of_which_nothing_is_declared_has_no_number() -> None:
    found = facts_of(declared())

    assert found.name == "local"
    assert found.prices == Prices()
    assert found.energy == Energy()
    assert found.network == Network()
    assert (found.jurisdiction, found.tier, found.taints) == (None, None, ())


def test_what_is_declared_of_a_cluster_reaches_the_choice() -> None:
    found = facts_of(
        declared(
            labels={"team": "text"},
            tier="Edge",
            jurisdiction="DE",
            location={"provider": "aws", "region": "r", "zone": "z", "site": "s"},
            prices={
                "cpuHour": "0.03",
                "memoryGBHour": "0.004",
                "accelerators": [{"product": "NVIDIA-L4", "hour": "0.8"}],
                "electricityKWh": "0.3",
            },
            energy={"gridIntensity": 400, "pue": "1.2"},
            network={
                "uplinkMbit": 100,
                "egress": [{"to": "internet", "perGB": "0.09"}],
                "roundTrips": [{"to": "munich", "time": "9ms"}, {"to": "far", "time": "1.5s"}],
            },
            gateway={"address": "https://gateway.example.com:8443"},
            taints=[{"key": "gpu", "value": "only", "effect": "NoSelectIfNew"}],
        ),
        [source("video", cached=[{"cluster": "local", "percent": 25}]), source("web")],
    )

    assert found.where == Location(provider="aws", region="r", zone="z", site="s")
    assert (found.tier, found.jurisdiction, found.labels) == (Tier.EDGE, "DE", {"team": "text"})
    assert found.prices == Prices(
        cpu_hour=0.03, memory_gb_hour=0.004, accelerator_hour={"NVIDIA-L4": 0.8}, paid_kwh=0.3
    )
    assert found.energy == Energy(grid=400.0, pue=1.2)
    assert found.network == Network(
        uplink_mbit=100, egress_gb={"internet": 0.09}, rtt_ms={"munich": 9.0, "far": 1500.0}
    )
    assert found.gateway == "https://gateway.example.com:8443"
    assert found.is_hub
    assert not facts_of(declared("munich")).is_hub
    assert found.taints == (Taint(key="gpu", value="only", effect=TaintEffect.NO_SELECT_IF_NEW),)
    assert found.cached == {"video": 0.25}


@pytest.mark.parametrize(
    ("data", "names"),
    [([], ["everybody"]), ([{"name": "named"}], ["everybody", "named"])],
    ids=["naming nothing evades nothing", "and what is named binds too"],
)
def test_a_law_binds(data: list[object], names: list[str]) -> None:
    sources = [
        source("everybody", residency={"jurisdictions": ["EU"]}),
        source("named", residency={"jurisdictions": ["DE"]}, appliesTo="Referenced"),
        source("lawless"),
    ]

    laws = laws_of(small_model({"data": data}).spec, sources)

    assert [law.source for law in laws] == names
    assert laws[0].jurisdictions == GROUPS["EU"]
    assert all(law.required for law in laws)


def test_a_law_may_be_a_preference() -> None:
    residency = {"jurisdictions": ["EEA", "CH"], "enforcement": "Preferred"}
    law = laws_of(small_model({}).spec, [source("a", residency=residency)])[0]

    assert not law.required
    assert law.jurisdictions == GROUPS["EU"] | {"IS", "LI", "NO", "CH"}


def test_what_is_read_is_counted_in_gb_from_each_location() -> None:
    video = source("video", locations=[{"cluster": "edge"}, {"site": "munich"}])
    data = [{"name": "video", "readPerHour": "36G"}, {"name": "other"}]

    reads = reads_of(small_model({"data": data}).spec, [video])

    assert [(read.source, read.gb_per_hour) for read in reads] == [("video", 36.0)]
    assert reads[0].locations == (Location(cluster="edge"), Location(site="munich"))


CLAIM = {"claim": "videos", "found": [{"cluster": "local", "readFrom": "Cluster"}]}
BUCKET = {"bucket": {"url": "s3://videos", "provider": "aws", "region": "eu-1"}}
ZONED = {"cluster": "edge", "region": "r", "zone": "z", "readFrom": "Volume"}


@pytest.mark.parametrize(
    ("spec", "status", "locations"),
    [
        ({"claim": "videos"}, CLAIM, (Location(cluster="local"),)),
        (
            {"claim": "videos"},
            CLAIM | {"found": [ZONED]},
            (Location(cluster="edge", region="r", zone="z"),),
        ),
        (
            {"claim": "videos", "locations": [{"cluster": "edge", "site": "s"}, {"site": "m"}]},
            CLAIM | {"found": [ZONED, *CLAIM["found"]]},
            (
                Location(cluster="edge", site="s"),
                Location(site="m"),
                Location(cluster="local"),
            ),
        ),
        ({"claim": "videos"}, {}, ()),
        ({"claim": "others"}, CLAIM, ()),
        ({"locations": [{"site": "m"}]}, CLAIM, (Location(site="m"),)),
        (
            {"bucket": "s3://videos"},
            BUCKET,
            (Location(provider="aws", region="eu-1", regional=True),),
        ),
        (
            {"bucket": "s3://videos", "locations": [{"site": "m"}]},
            BUCKET,
            (Location(site="m"),),
        ),
        ({"bucket": "s3://videos"}, {}, ()),
        ({"bucket": "s3://others"}, BUCKET, ()),
        ({"claim": "videos"}, BUCKET, ()),
        ({"bucket": "s3://videos"}, CLAIM, ()),
    ],
    ids=[
        "in the cluster that has its claim",
        "where the volume of its claim is",
        "where its owner says, before what is read",
        "nowhere before its claim was looked for",
        "not where another claim was found",
        "where its owner says without a claim, whatever the status said",
        "in the region of its bucket",
        "where its owner says, in place of the region of its bucket",
        "nowhere before S3 told the region",
        "not where another bucket was found",
        "not where a bucket was found, with a claim in its place",
        "not where a claim was found, with a bucket in its place",
    ],
)
def test_data_is(
    spec: dict[str, object], status: dict[str, object], locations: tuple[Location, ...]
) -> None:
    video = source("video", **spec)
    video = video.model_copy(update={"status": DataSourceStatus.model_validate(status)})

    (read,) = reads_of(small_model({"data": [{"name": "video"}]}).spec, [video])

    assert read.locations == locations


def test_bounds_are_none_unless_they_are_set() -> None:
    assert bounds_of(PlacementBounds()) == Bounds()
    found = bounds_of(
        PlacementBounds.model_validate(
            {
                "clusterSelector": {"team": "text"},
                "tiers": ["Edge", "OnPrem"],
                "tolerations": [{"key": "gpu"}, {"key": "b", "value": "c"}],
                "maxCostPerHour": "0.5",
                "maxGridIntensity": 100,
                "maxRoundTrip": "40ms",
            }
        )
    )
    assert found == Bounds(
        tiers=frozenset({Tier.EDGE, Tier.ON_PREM}),
        labels={"team": "text"},
        tolerations=(Toleration(key="gpu"), Toleration(key="b", value="c")),
        max_cost_hour=0.5,
        max_grid=100.0,
        max_rtt_ms=40.0,
    )


@pytest.mark.parametrize(
    ("bounds", "clients"),
    [
        ({}, ()),
        ({"maxRoundTrip": "40ms"}, (Location(cluster="local"),)),
        (
            {"clients": ["munich", "eu-west-1"]},
            (Location(cluster="munich"), Location(region="eu-west-1")),
        ),
    ],
    ids=["nobody asks for them", "they are the hub's where only a bound is set", "they are named"],
)
def test_clients_are_clusters_or_regions(
    bounds: dict[str, object], clients: tuple[Location, ...]
) -> None:
    found = Around(clusters=(facts_of(declared("munich")),))
    assert clients_of(PlacementBounds.model_validate(bounds), found) == clients


def member(fresh: ConditionStatus | None = None, link: LinkState | None = None) -> ModelCluster:
    """A cluster that is not the operator's own, with what is said of it."""
    conditions: tuple[Condition, ...] = ()
    if fresh is not None:
        conditions = (
            Condition(
                type=ClusterConditionType.FACTS_FRESH,
                status=fresh,
                last_transition_time=SINCE,
                reason=Reason.OBSERVED,
            ),
        )
    status = ModelClusterStatus(
        conditions=conditions,
        link=ClusterLink(state=link, since=SINCE, reason=Reason.CONNECTED) if link else None,
    )
    return declared("edge").model_copy(update={"status": status})


@pytest.mark.parametrize(
    ("fresh", "seen_at", "age"),
    [
        (None, None, None),
        ("Unknown", None, None),
        ("True", None, 0.0),
        ("False", SINCE, 420.0),
    ],
)
def test_how_old_it_is_what_is_known_of_a_member(
    fresh: ConditionStatus | None, seen_at: str | None, age: float | None
) -> None:
    found = facts_of(member(fresh), now=NOW)

    assert (found.seen_at, found.capacity_age) == (seen_at, age)
    assert facts_of(member(fresh)).capacity_age == 0.0, "whoever says no time does not ask"


def test_the_operators_own_cluster_is_always_seen_now() -> None:
    assert facts_of(declared(), now=NOW).capacity_age == 0.0


def test_how_hub_and_cluster_get_on_reaches_the_choice() -> None:
    assert facts_of(member()).link is Link.CONNECTED
    for state in LinkState:
        assert facts_of(member(link=state)).link.value == state.value
    leaving = member()
    metadata = leaving.metadata.model_copy(update={"deletion_timestamp": NOW})
    assert facts_of(leaving.model_copy(update={"metadata": metadata})).link is Link.TERMINATING


def test_another_age_alone_is_no_other_circumstance_until_it_is_too_old() -> None:
    def circumstances(now: str) -> object:
        return Around(clusters=(facts_of(member("False"), now=now),)).circumstances

    young, older, stale = "2026-11-24T12:01:00Z", "2026-11-24T12:02:00Z", NOW
    assert circumstances(young) == circumstances(older)
    assert circumstances(older) != circumstances(stale)


def test_a_law_may_give_an_hour_and_no_more() -> None:
    residency = {"jurisdictions": ["DE"], "graceful": "1h"}
    (found,) = laws_of(small_model({}).spec, [source("records", residency=residency)])
    assert found.grace_seconds == 3600.0

    with pytest.raises(ValidationError, match="may go on for 1h at most"):
        source("records", residency=residency | {"graceful": "61m"})
