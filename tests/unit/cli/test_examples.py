"""The examples are what they say, and every one of them is right."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from builders.clusters import view
from builders.yaml_objects import CHAT_YAML
from smallmodel_operator.api.datasource import DataSource, DataSourceStatus
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Scaling, SmallModel, SmallModelSpec
from smallmodel_operator.api.where import ClusterNetwork
from smallmodel_operator.catalog.options import ResolvedModel
from smallmodel_operator.catalog.resolve import resolve
from smallmodel_operator.local.bundled import fetch_bundled_cards
from smallmodel_operator.placement.among import Placed, place_among
from smallmodel_operator.placement.choice.codes import Code
from smallmodel_operator.placement.choice.decision import Decision
from smallmodel_operator.placement.declared import Around, facts_of
from smallmodel_operator.placement.placement import Unplaced
from smallmodel_operator.status.buckets import BucketLook, summarise_bucket
from smallmodel_operator.status.data import ClaimSight, Look, summarise_source
from support.command_line import Slm

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_chat_is_six_lines() -> None:
    text = (EXAMPLES / "chat.yaml").read_text(encoding="utf-8")
    assert text == CHAT_YAML
    assert len(text.splitlines()) == 6


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_each_example_is_valid(slm: Slm, path: Path) -> None:
    outcome = slm("validate", path)
    assert outcome.out == ""
    assert outcome.code == 0


def test_all_examples_can_be_served_together(slm: Slm) -> None:
    assert slm("validate", EXAMPLES).code == 0


def test_tuned_has_every_field_of_a_model_from_the_catalogue() -> None:
    spec = yaml.safe_load((EXAMPLES / "tuned.yaml").read_text(encoding="utf-8"))["spec"]
    fields = {field.alias for field in SmallModelSpec.model_fields.values()}
    assert set(spec) == fields - {"source", "data", "placement"}
    assert set(spec["scaling"]) == {field.alias for field in Scaling.model_fields.values()}


def test_the_model_of_the_example_is_as_near_as_it_has_to_be_and_no_nearer() -> None:
    documents = list(yaml.safe_load_all((EXAMPLES / "hybrid/near.yaml").read_text("utf-8")))
    clusters = [ModelCluster.model_validate(one) for one in documents[:3]]
    model = SmallModel.model_validate(documents[3])
    resolved = resolve(model, fetch_bundled_cards(), secrets=frozenset())
    assert isinstance(resolved, ResolvedModel)

    def decision(*where: ModelCluster) -> Decision:
        around = Around(clusters=tuple(facts_of(one) for one in where))
        views = {one.metadata.name: view(name=one.metadata.name) for one in where}
        found = place_among(
            resolved, model.spec, around, views, namespace="team", key="inspect"
        ).decision
        assert found is not None
        return found

    decided = decision(*clusters)
    assert decided.clusters == ("frankfurt",)
    said = {one.cluster: one for one in decided.verdicts}
    assert said["munich"].code is Code.COST_HIGHER
    assert said["ohio"].code is Code.LATENCY_BOUND
    assert "from munich to ohio is 105 ms" in said["ohio"].message

    munich = clusters[0].spec.model_copy(update={"network": ClusterNetwork()})
    silent = clusters[0].model_copy(update={"spec": munich})
    nobody_says = decision(silent, *clusters[1:])
    assert nobody_says.clusters == ("munich",)
    assert "from munich to frankfurt is not known" in nobody_says.verdicts[1].message


def test_the_law_of_the_example_holds_and_its_model_is_placed() -> None:
    documents = list(yaml.safe_load_all((EXAMPLES / "hybrid/law.yaml").read_text(encoding="utf-8")))
    cluster = ModelCluster.model_validate(documents[0])
    source = DataSource.model_validate(documents[1])
    model = SmallModel.model_validate(documents[2])
    resolved = resolve(model, fetch_bundled_cards(), secrets=frozenset())
    assert isinstance(resolved, ResolvedModel)

    def outcome(where: ModelCluster) -> Placed:
        around = Around(clusters=(facts_of(where, [source]),), sources=(source,))
        views = {"local": view()}
        return place_among(resolved, model.spec, around, views, namespace="team", key="chat")

    found = outcome(cluster)
    assert found.made
    assert found.decision is not None
    cost = found.decision.chosen[0].cost
    assert cost is not None
    # 36 GB between two regions of one provider, at 0.02.
    assert cost.data == pytest.approx(0.72)
    assert cost.total < 1.5
    abroad = cluster.model_copy(
        update={"spec": cluster.spec.model_copy(update={"jurisdiction": "US"})}
    )
    refused = outcome(abroad).lacking
    assert isinstance(refused, Unplaced)
    assert refused.reason is Reason.RESIDENCY_FORBIDDEN


def chosen_in(example: str, found: Callable[[DataSource], DataSourceStatus]) -> tuple[str, ...]:
    """Where the model of an example goes with what was found of its data."""
    documents = list(yaml.safe_load_all((EXAMPLES / example).read_text(encoding="utf-8")))
    clusters = [ModelCluster.model_validate(one) for one in documents[:2]]
    source = DataSource.model_validate(documents[2])
    model = SmallModel.model_validate(documents[3])
    resolved = resolve(model, fetch_bundled_cards(), secrets=frozenset())
    assert isinstance(resolved, ResolvedModel)
    source = source.model_copy(update={"status": found(source)})
    facts = tuple(facts_of(one, [source]) for one in clusters)
    around = Around(clusters=facts, sources=(source,))
    views = {one.metadata.name: view(name=one.metadata.name) for one in clusters}
    decision = place_among(
        resolved, model.spec, around, views, namespace="team", key="tags"
    ).decision
    assert decision is not None
    return decision.clusters


def test_the_model_of_the_example_goes_to_the_cluster_that_has_the_claim() -> None:
    def chosen(*looks: Look) -> tuple[str, ...]:
        return chosen_in(
            "hybrid/claim.yaml",
            lambda source: summarise_source(source, looks, "2026-11-24T12:00:00Z"),
        )

    claim = ClaimSight(phase="Bound")
    assert chosen(Look(cluster="local"), Look(cluster="munich", claim=claim)) == ("munich",)
    assert chosen(Look(cluster="local", claim=claim), Look(cluster="munich")) == ("local",)
    assert chosen(Look(cluster="local"), Look(cluster="munich")) == ("local",), "the cheaper one"


def test_the_model_of_the_example_goes_to_the_region_of_the_bucket() -> None:
    def chosen(region: str) -> tuple[str, ...]:
        return chosen_in(
            "hybrid/bucket.yaml",
            lambda source: summarise_bucket(
                source,
                source.spec.bucket or "",
                BucketLook(region=region),
                "2026-11-24T12:00:00Z",
            ),
        )

    assert chosen("eu-central-1") == ("frankfurt",)
    assert chosen("us-east-1") == ("local",)
    assert chosen("ap-south-1") == ("local",), "the cheaper one"
