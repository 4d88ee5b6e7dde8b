"""What the API server, and what the operator, would make of manifests."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders.admission import data_source, model_cluster
from builders.cards import CardBuilder
from builders.cluster_objects import CARD, put_deployment, put_model, put_placement
from builders.fake_cluster import SYSTEM, FakeCluster
from builders.kube_objects import node
from builders.placements import answer, placed_status
from smallmodel_operator.api.modelcard import License
from support.command_line import Outcome, Slm

MODEL: dict[str, Any] = {
    "apiVersion": "smallmodel.dev/v1alpha1",
    "kind": "SmallModel",
    "metadata": {"name": "chat"},
    "spec": {"model": CARD},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path, MODEL)


def write(folder: Path, *manifests: dict[str, Any]) -> Path:
    path = folder / "models.yaml"
    path.write_text(yaml.safe_dump_all(manifests))
    return path


def planned(slm: Slm, path: Path, *words: str) -> dict[str, Any]:
    outcome = slm("plan", path, "-o", "json", *words)
    found: dict[str, Any] = json.loads(outcome.out)
    return found


def test_the_api_server_takes_a_manifest_and_nothing_is_written(
    slm: Slm, cluster: FakeCluster, file: Path
) -> None:
    before = dict(cluster.kube.objects)
    outcome = slm("validate", "--server", file)
    assert outcome.code == 0
    assert f"{file}:1: SmallModel team/chat is accepted" in outcome.err
    assert cluster.kube.objects == before


def test_its_own_words_are_shown_for_each_manifest_it_refuses(
    slm: Slm, cluster: FakeCluster, tmp_path: Path
) -> None:
    other = {**MODEL, "metadata": {"name": "other", "namespace": "elsewhere"}}
    path = write(tmp_path, MODEL, other)
    cluster.refusals = {"other": "spec.model: Too long: may not be more than 63 bytes"}
    outcome = slm("validate", "--server", path)
    assert outcome.code == 3
    assert outcome.out.startswith(f"{path}:8: dry run of SmallModel elsewhere/other")
    assert "Too long: may not be more than 63 bytes" in outcome.out
    assert "accepts 1 of 2 manifests" in outcome.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: [", "this is not valid YAML"),
        ("- a list", "a manifest is a mapping"),
        ("kind: Gadget\napiVersion: v1", "`kubectl apply --dry-run=server` checks any kind"),
        ("apiVersion: smallmodel.dev/v1alpha1\nkind: SmallModel", "metadata.name is not set"),
    ],
)
def test_what_cannot_be_sent_is_told_with_its_line(
    slm: Slm, cluster: FakeCluster, tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    outcome = slm("validate", "--server", path, "-o", "json")
    assert outcome.code == 3
    [problem] = json.loads(outcome.out)["problems"]
    assert problem["file"] == str(path)
    assert message in problem["message"]


def test_a_file_that_is_not_there_is_told(slm: Slm, cluster: FakeCluster, tmp_path: Path) -> None:
    outcome = slm("validate", "--server", tmp_path / "no.yaml")
    assert outcome.code == 3
    assert "no.yaml: cannot be read: No such file" in outcome.out


def test_without_server_it_is_checked_offline(slm: Slm, cluster: FakeCluster, file: Path) -> None:
    file.write_text(file.read_text().replace(CARD, "smollm2-135m-instruct"))
    assert slm("validate", file).code == 0
    assert cluster.kube.seen == []


def test_a_card_without_a_namespace_is_asked_about_too(
    slm: Slm, cluster: FakeCluster, tmp_path: Path
) -> None:
    card = CardBuilder().build().model_dump(mode="json", by_alias=True, exclude_none=True)
    outcome = slm("validate", "--server", write(tmp_path, card))
    assert f"ModelCard {CARD} is accepted" in outcome.err


def test_a_new_model_gets_option_worker_class_and_a_new_pool(
    slm: Slm, cluster: FakeCluster, file: Path
) -> None:
    [model] = planned(slm, file)["models"]
    assert (model["namespace"], model["change"], model["reason"]) == ("team", "Placed", "Placed")
    assert model["engine"] == "LlamaCpp"
    assert model["pool"]["isNew"] is True
    assert model["pool"]["name"].startswith(model["worker"]["name"])
    assert "in a new pool" in model["message"]
    assert all(one.method == "GET" for one in cluster.kube.seen)


def test_a_table_has_a_row_for_each_model(slm: Slm, cluster: FakeCluster, file: Path) -> None:
    header, row = slm("plan", file, "-o", "table").out.splitlines()
    assert "WORKER CLASS" in header
    assert "(new)" in row


def test_what_is_decided_already_stays(slm: Slm, cluster: FakeCluster, file: Path) -> None:
    put_model(cluster)
    put_placement(cluster, placed_status(probe=answer()))
    [model] = planned(slm, file)["models"]
    assert model["change"] == "None: this is decided already"


def test_a_changed_spec_is_placed_anew(slm: Slm, cluster: FakeCluster, tmp_path: Path) -> None:
    put_model(cluster)
    put_placement(cluster, placed_status(probe=answer()))
    path = write(tmp_path, {**MODEL, "spec": {"model": CARD, "contextLength": 1024}})
    [model] = planned(slm, path)["models"]
    assert (model["change"], model["reason"]) == ("Placed anew", "Placed")


def test_an_unknown_model_is_refused_at_its_line(
    slm: Slm, cluster: FakeCluster, tmp_path: Path
) -> None:
    path = write(tmp_path, {**MODEL, "spec": {"model": "little-2b"}})
    outcome = slm("plan", path)
    assert outcome.code == 5
    assert f"{path}:6: spec.model:" in outcome.err
    assert "Nothing is served of it" in outcome.out


def test_what_runs_goes_on_when_the_changed_spec_is_refused(
    slm: Slm, cluster: FakeCluster, tmp_path: Path
) -> None:
    put_model(cluster)
    put_placement(cluster, placed_status(probe=answer()))
    path = write(tmp_path, {**MODEL, "spec": {"model": "little-2b"}})
    [model] = planned(slm, path)["models"]
    assert model["change"] == "Nothing is served of it, and what runs goes on"


def test_a_full_cluster_is_no_refusal_for_ever(slm: Slm, cluster: FakeCluster, file: Path) -> None:
    cluster.put("/api/v1/nodes/node-1", node(allocatable={"cpu": "1", "memory": "1Gi"}))
    outcome = slm("plan", file)
    assert outcome.code == 5
    assert "MemoryFit" in outcome.out


def test_a_card_among_the_manifests_counts(slm: Slm, cluster: FakeCluster, tmp_path: Path) -> None:
    card = (
        CardBuilder(name="tiny").build().model_dump(mode="json", by_alias=True, exclude_none=True)
    )
    path = write(tmp_path, card, {**MODEL, "spec": {"model": "tiny"}})
    [model] = planned(slm, path)["models"]
    assert model["reason"] == "Placed"


def test_weights_named_directly_are_fetched_first(
    slm: Slm, cluster: FakeCluster, tmp_path: Path
) -> None:
    source = {"uri": "https://example.com/model.gguf"}
    path = write(tmp_path, {**MODEL, "spec": {"source": source}})
    outcome = slm("plan", path, "-o", "json")
    assert outcome.code == 0
    [model] = json.loads(outcome.out)["models"]
    assert model["change"].startswith("Weights are fetched first")
    assert model["reason"] == "Fetching"


@pytest.mark.parametrize(("there", "code"), [(True, 0), (False, 5)])
def test_a_gated_card_needs_its_secret(
    slm: Slm, cluster: FakeCluster, file: Path, there: bool, code: int
) -> None:
    put_gated_card(cluster)
    if there:
        secret = {"kind": "Secret", "metadata": {"name": "opener", "namespace": "team"}}
        cluster.put("/api/v1/namespaces/team/secrets/opener", secret)
    assert slm("plan", file).code == code


def test_a_secret_that_may_not_be_looked_for_is_taken_as_there(
    slm: Slm, cluster: FakeCluster, file: Path
) -> None:
    put_gated_card(cluster)
    cluster.forbidden = {"secrets"}
    outcome = slm("plan", file)
    assert outcome.code == 0
    assert "You may not read Secrets of namespace team; opener is taken as there." in outcome.err


def test_settings_are_the_operators_or_said_to_be_assumed(
    slm: Slm, cluster: FakeCluster, file: Path
) -> None:
    assert planned(slm, file)["operatorSettings"] == "those of its Deployment"
    put_deployment(cluster, "smallmodel-operator", SYSTEM, {})
    assert "the chart's defaults" in planned(slm, file)["operatorSettings"]


def test_a_broken_manifest_comes_before_a_refusal(
    slm: Slm, cluster: FakeCluster, tmp_path: Path
) -> None:
    path = write(tmp_path, {**MODEL, "spec": {"model": "no"}}, {"kind": "Gadget"})
    assert slm("plan", path).code == 3


def test_who_may_not_read_nodes_is_told(slm: Slm, cluster: FakeCluster, file: Path) -> None:
    cluster.forbidden = {"nodes"}
    outcome: Outcome = slm("plan", file)
    assert outcome.code == 1
    assert "list nodes: the API server answered 403" in outcome.err


def put_gated_card(cluster: FakeCluster) -> None:
    license_ = License(id="own", name="Its own", gated=True)
    card = CardBuilder(license=license_, secret="opener").build()
    cluster.put(
        f"/apis/smallmodel.dev/v1alpha1/modelcards/{CARD}",
        card.model_dump(mode="json", by_alias=True, exclude_none=True),
    )


SOURCE_PATH = "/apis/smallmodel.dev/v1alpha1/namespaces/team/datasources/records"
CLUSTER_PATH = "/apis/smallmodel.dev/v1alpha1/modelclusters/local"


def test_a_law_of_the_namespace_is_part_of_the_plan(
    slm: Slm, cluster: FakeCluster, file: Path
) -> None:
    cluster.put(SOURCE_PATH, data_source(residency={"jurisdictions": ["FR"]}))

    found = planned(slm, file)["models"][0]

    assert found["reason"] == "ResidencyForbidden"
    assert "records may be read in FR only" in found["message"]


@pytest.mark.parametrize(
    ("path", "spec", "what"),
    [
        (SOURCE_PATH, {"mood": "good"}, "a DataSource of this cluster has spec.mood"),
        (CLUSTER_PATH, {"mood": "good"}, "the ModelCluster of this cluster has spec.mood"),
    ],
    ids=["a law", "a cluster"],
)
def test_what_this_slm_cannot_read_is_not_passed_over(
    slm: Slm, cluster: FakeCluster, file: Path, path: str, spec: dict[str, Any], what: str
) -> None:
    made = data_source(**spec) if path == SOURCE_PATH else model_cluster(**spec)
    cluster.put(path, made)

    outcome = slm("plan", file)

    assert outcome.code != 0
    assert what in outcome.err
