"""What is said of bad clusters, data and bounds: the value, the rule and the next step."""

from collections.abc import Callable
from typing import Any, Final

import pytest
import yaml

from builders.admission import data_source, model_cluster
from builders.clusters import declared, resolved, view
from builders.fake_hub import law, priced, served
from builders.models import small_model
from builders.placements import model_placement, placement_spec
from builders.yaml_objects import YamlObject
from builders.yaml_objects import small_model as written_model
from smallmodel_operator.api.datasource import DataSource
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.serving import CONTRACT
from smallmodel_operator.handlers.sources import Scales, around_of
from smallmodel_operator.local.manifests import ALL_KINDS, Problem, parse
from smallmodel_operator.placement.among import Placed, place_among
from smallmodel_operator.placement.declared import Around, facts_of
from smallmodel_operator.plan.placements import spec_hash
from smallmodel_operator.reconcile.mirror import Mirrored, MirrorSight, decide_mirror
from smallmodel_operator.settings import Settings, SettingsError
from smallmodel_operator.status.data import ClaimSight, Look, summarise_source

NOW: Final = "2026-11-24T12:00:00Z"
RECORDS: Final = law("DE", locations=[{"cluster": "munch"}])
IN_A_CLAIM: Final = law("DE", claim="records")
IN_A_BUCKET: Final = law("DE", bucket="s3://records")


def placed(
    fields: dict[str, Any], *sources: DataSource, jurisdiction: str | None = "DE", **spec: Any
) -> Placed:
    """What comes of placing on one cluster, `local`."""
    cluster = priced("local", "1", jurisdiction, **spec)
    around = Around(clusters=(facts_of(cluster, sources),), sources=sources)
    model = small_model(fields)
    views = {"local": view()}
    return place_among(resolved(fields), model.spec, around, views, namespace="team", key="chat")


def lacking(fields: dict[str, Any], *sources: DataSource, **spec: Any) -> str:
    """Why nothing is placed."""
    found = placed(fields, *sources, **spec)
    assert found.lacking is not None
    return found.lacking.message


def assumed(fields: dict[str, Any], *sources: DataSource) -> str:
    """What is assumed of a cost, as `slm explain` prints it."""
    decision = placed(fields, *sources).decision
    assert decision is not None
    return "; ".join(one.source for one in decision.verdicts[0].inputs if one.assumed)


def elsewhere(name: str) -> str:
    """Why nothing is placed of a model that names data which another namespace has."""
    there = RECORDS.model_copy(update={"metadata": ObjectMeta(name="records", namespace="other")})
    mine = [one for one in (there,) if one.metadata.namespace == "team"]
    around = around_of([declared("local")], mine, Scales(), NOW)
    fields: dict[str, object] = {"data": [{"name": name}]}
    found = place_among(
        resolved(fields), small_model(fields).spec, around, {}, namespace="team", key="chat"
    )
    assert found.lacking is not None
    return found.lacking.message


def manifest(given: YamlObject) -> str:
    """What `slm validate` says of a manifest."""
    read = parse(yaml.safe_dump(given), "f.yaml", ALL_KINDS)
    found = [one for one in read if isinstance(one, Problem)]
    return "; ".join(f"{one.field}: {one.message}" for one in found)


def setting(**variables: str) -> str:
    """What the operator says of its settings as it starts."""
    given = {"NAMESPACE": "smallmodel-system", "SERVING_CPU_IMAGE": "serving:1", **variables}
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({f"SMALLMODEL_{name}": text for name, text in given.items()})
    return str(refused.value)


def mirrored(*, accepted: bool = True, contract: int = CONTRACT) -> str:
    """What a cluster's side says of a placement that it does not take."""
    spec = placement_spec(cluster="edge", contract=contract)
    spec = spec.model_copy(update={"spec_hash": spec_hash(spec)})
    sight = MirrorSight(
        cluster="edge",
        namespace="smallmodel-system",
        placement=model_placement(spec=spec),
        there=Mirrored.NOTHING,
        accepted=accepted,
    )
    status = decide_mirror(sight, NOW).status
    assert status is not None
    assert status.problem is not None
    return status.problem.message


def located(look: Look) -> str:
    """What the status of data says whose claim was looked for."""
    return summarise_source(IN_A_CLAIM, [look], NOW).conditions[0].message


def contradiction() -> str:
    """Why a model stands still that two laws bind."""
    hub = served("home")
    hub.sources = (law("DE"), law("FR", name="video"))
    hub.settle()
    return hub.said("Placed")[2]  # type: ignore[arg-type]


SAID: Final[dict[str, tuple[Callable[[], str], tuple[str, ...]]]] = {
    "clients in a cluster that nobody declared": (
        lambda: lacking({"placement": {"clients": ["munch"]}}),
        ("clients names munch", "There are: local", "Correct the name"),
    ),
    "clients in a region that nobody declared": (
        lambda: lacking({"placement": {"clients": ["eu-west"]}}, location={"region": "eu-west-1"}),
        ("clients names eu-west,", "There are: eu-west-1, local", "Correct the name"),
    ),
    "data in a cluster that nobody declared": (
        lambda: assumed({"data": [{"name": "records", "readPerHour": "1G"}]}, RECORDS),
        ("no ModelCluster munch; table egress, unknown provider",),
    ),
    "data in a region that no table has": (
        lambda: assumed(
            {"data": [{"name": "records", "readPerHour": "1G"}]},
            law("DE", locations=[{"provider": "aws", "region": "moon-1"}]),
        ),
        ("table egress, aws moon-1, the most of any region",),
    ),
    "a cluster in a country that is none": (
        lambda: manifest(model_cluster(jurisdiction="UK")),
        ("spec.jurisdiction: 'UK' is no country", "ISO 3166-1", "for example DE"),
    ),
    "a cluster in a group of countries": (
        lambda: manifest(model_cluster(jurisdiction="EU")),
        ("EU is a group, and a cluster is in one country", "for example DE"),
    ),
    "a law of a country that is none": (
        lambda: manifest(data_source(residency={"jurisdictions": ["UK"]})),
        ("'UK' is neither a country nor a group", "or one of EEA, EU"),
    ),
    "a law, and a cluster of which nobody says where it is": (
        lambda: lacking({}, RECORDS, jurisdiction=None),
        ("local has no jurisdiction, and unknown is never allowed", "records may be read in DE"),
    ),
    "data that the namespace does not have": (
        lambda: lacking({"data": [{"name": "recrods"}]}, RECORDS),
        ("spec.data names recrods", "of this namespace are: records", "Correct the name"),
    ),
    "data that another namespace has": (
        lambda: elsewhere("records"),
        ("spec.data names records", "another namespace cannot be named", "have the data's owner"),
    ),
    "data that is named with its namespace": (
        lambda: manifest(written_model(model="tiny", data=[{"name": "other/records"}])),
        ("spec.data[0].name: 'other/records' is not a name", "for example chat-small"),
    ),
    "a claim with a capital": (
        lambda: manifest(data_source(claim="Records")),
        ("spec.claim: 'Records' is not a PersistentVolumeClaim's name", "for example records"),
    ),
    "a claim of another namespace": (
        lambda: manifest(data_source(claim="other/records")),
        ("spec.claim: 'other/records' is not a PersistentVolumeClaim's name",),
    ),
    "a claim that no cluster has": (
        lambda: located(Look(cluster="local")),
        ("The namespace team has no claim records in local", "Correct spec.claim, make the claim"),
    ),
    "a claim that is not bound": (
        lambda: located(Look(cluster="local", claim=ClaimSight(phase="Pending"))),
        ("The claim records is Pending in local", "kubectl -n team describe pvc records"),
    ),
    "a claim that nobody found": (
        lambda: assumed({"data": [{"name": "records", "readPerHour": "1G"}]}, IN_A_CLAIM),
        ("table egress, unknown location",),
    ),
    "a bucket with a capital": (
        lambda: manifest(data_source(bucket="s3://Records")),
        ("spec.bucket: 's3://Records' is not s3:// and an S3 bucket's name alone", "s3://records"),
    ),
    "a bucket with a path": (
        lambda: manifest(data_source(bucket="s3://records/2026")),
        ("spec.bucket: 's3://records/2026' is not s3:// and an S3 bucket's name alone",),
    ),
    "a bucket whose name is too short": (
        lambda: manifest(data_source(bucket="s3://ab")),
        ("spec.bucket: 'ab' has 2 characters, and an S3 bucket's name has 3 to 63",),
    ),
    "a bucket whose name is too long": (
        lambda: manifest(data_source(bucket="s3://" + "a" * 64)),
        ("has 64 characters, and an S3 bucket's name has 3 to 63",),
    ),
    "a claim and a bucket": (
        lambda: manifest(data_source(claim="records", bucket="s3://records")),
        ("claim and bucket are both given", "remove the other, or write two DataSources"),
    ),
    "a bucket that nobody found": (
        lambda: assumed({"data": [{"name": "records", "readPerHour": "1G"}]}, IN_A_BUCKET),
        ("table egress, unknown location",),
    ),
    "an S3 that is no address": (
        lambda: setting(S3_ENDPOINT="s3.amazonaws.com"),
        ("SMALLMODEL_S3_ENDPOINT='s3.amazonaws.com'", "for example https://s3.amazonaws.com"),
    ),
    "an S3 with credentials": (
        lambda: setting(S3_ENDPOINT="https://ann:secret@s3.example"),
        ("SMALLMODEL_S3_ENDPOINT", "without credentials"),
    ),
    "laws that contradict each other": (
        contradiction,
        (
            "The laws of records, video contradict each other",
            "records allows DE; video allows FR",
            "Their owners have to agree",
        ),
    ),
    "a selector that matches nothing": (
        lambda: lacking({"placement": {"clusterSelector": {"team": "vision"}}}),
        ("local has no label team=vision", "clusterSelector asks for", "Change the selector"),
    ),
    "a tier that no cluster has": (
        lambda: lacking({"placement": {"tiers": ["Edge"]}}, tier="Cloud"),
        ("local is of tier Cloud", "spec.placement.tiers has Edge", "Add its tier there"),
    ),
    "a price below zero": (
        lambda: manifest(model_cluster(prices={"cpuHour": "-1"})),
        ("spec.prices.cpuHour: '-1' is not an amount", 'for example "0.031"'),
    ),
    "an absurd price": (
        lambda: manifest(model_cluster(prices={"cpuHour": "10000000"})),
        ("'10000000' is not an amount", 'for example "0.031"'),
    ),
    "a price that is a number": (
        lambda: manifest(model_cluster(prices={"cpuHour": 0.03})),
        ("spec.prices.cpuHour: ", "quotes"),
    ),
    "a price in another currency": (
        lambda: manifest(model_cluster(prices={"cpuHour": "0.03 EUR"})),
        ("'0.03 EUR' is not an amount of the installation's one currency",),
    ),
    "another currency for the installation, without a rate": (
        lambda: setting(PLACEMENT='{"currency": "EUR"}'),
        ("currency is EUR", "the shipped tables are in USD", "set usdRate"),
    ),
    "a currency that is none": (
        lambda: setting(PLACEMENT='{"currency": "euros"}'),
        ("SMALLMODEL_PLACEMENT", "three letters, for example EUR"),
    ),
    "a namespace of another cluster that does not take models": (
        lambda: mirrored(accepted=False),
        ("Namespace team of cluster edge", "kubectl label namespace team smallmodel.dev/accept"),
    ),
    "a hub that was rolled back below what it wrote": (
        lambda: mirrored(contract=CONTRACT + 1),
        (
            f"contract {CONTRACT + 1}",
            f"knows contracts up to {CONTRACT}",
            "goes on as it is; upgrade the operator",
        ),
    ),
}
"""A tenant who makes `slm-cluster-x` first is in `tests/unit/handlers/test_cluster.py`."""


@pytest.mark.parametrize(("said", "words"), SAID.values(), ids=SAID)
def test_what_is_said_has_the_value_the_rule_and_the_next_step(
    said: Callable[[], str], words: tuple[str, ...]
) -> None:
    message = said()
    assert [word for word in words if word not in message] == [], message
