"""`slm snapshot` records what decisions read, and `slm whatif --snapshot` decides of it again."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from builders.admission import data_source, model_cluster, profiled
from builders.cluster_objects import put_deployment, put_model, put_placement, put_pool
from builders.fake_cluster import SYSTEM, FakeCluster, fake_cluster
from builders.kube_objects import node
from builders.kubeconfigs import TOKEN, encoded, kubeconfig, pair, server_tls, written
from builders.linked_clusters import cluster_path
from builders.placements import placed_status
from smallmodel_operator.api.datasource import DataSourceStatus
from smallmodel_operator.cli.snapshots import read_snapshot
from support.command_line import Slm

EXAMPLE = Path(__file__).parents[4] / "examples/hybrid/snapshot.json"
FRESH = {
    "type": "FactsFresh",
    "status": "True",
    "lastTransitionTime": "2026-11-24T11:00:00Z",
    "reason": "Observed",
}


@pytest.fixture
def munich() -> Iterator[FakeCluster]:
    """Another cluster with one node."""
    with fake_cluster(server_tls(pair())) as fake:
        fake.kube.objects["/version"] = {"gitVersion": "v1.36.3"}
        fake.kube.objects["/apis/ray.io/v1"] = {"resources": [{"name": "rayservices"}]}
        fake.put("/api/v1/nodes/node-1", node(allocatable={"cpu": "8", "memory": "32Gi"}))
        yield fake


def declare(hub: FakeCluster, name: str, *, secret: str | None = None, **spec: Any) -> None:
    """Have a cluster be there on the hub."""
    connection = {"mode": "Pull"}
    if secret is not None:
        connection = {"mode": "Push", "kubeconfigSecretRef": {"name": secret}}  # type: ignore[dict-item]
    manifest = model_cluster(name, connection=connection, **spec)
    hub.put(cluster_path(name), manifest | {"status": {"conditions": [FRESH]}})


def reached_at(server: str) -> bytes:
    """A kubeconfig of the hub's account there."""
    authority = encoded(pair().certificate)
    return written(kubeconfig(cluster={"server": server, "certificate-authority-data": authority}))


def put_kubeconfig(hub: FakeCluster, name: str, content: bytes) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": SYSTEM},
        "data": {"kubeconfig": encoded(content)},
    }
    hub.put(f"/api/v1/namespaces/{SYSTEM}/secrets/{name}", manifest)


@pytest.fixture
def hub(cluster: FakeCluster, munich: FakeCluster) -> FakeCluster:
    """A hub that pushes to Munich, which is dear, and serves a model itself."""
    put_model(cluster)
    put_placement(cluster, placed_status())
    put_pool(cluster)
    declare(cluster, "munich", secret="munich", prices={"cpuHour": "9"}, jurisdiction="DE")
    put_kubeconfig(cluster, "munich", reached_at(munich.kube.url))
    return cluster


@pytest.fixture
def taken(slm: Slm, hub: FakeCluster, tmp_path: Path) -> Path:
    """A file with the hub's snapshot."""
    outcome = slm("snapshot")
    assert outcome.code == 0, outcome.err
    path = tmp_path / "snapshot.json"
    path.write_text(outcome.out)
    return path


def test_it_has_both_clusters_as_they_are_and_the_decision(taken: Path) -> None:
    file = read_snapshot(taken)

    assert [one.name for one in file.views] == ["local", "munich"]
    assert [one.namespace for one in file.views[0].pools] == ["other"]
    assert (file.hub_id, file.unseen) == ("hub-1", {})
    assert [(one.name, one.clusters) for one in file.decisions] == [("chat", ("local",))]
    assert file.text == taken.read_text()


def test_what_was_decided_of_it_comes_again_to_the_byte(taken: Path) -> None:
    file = read_snapshot(taken)

    assert file.decisions[0].decision is not None
    assert file.not_reproduced() == ()
    edited = file.model_copy(update={"hub_id": "hub-1", "views": ()})
    assert edited.not_reproduced() == ("team/chat",)


def test_nothing_of_a_secret_and_of_what_others_noted_is_written(
    slm: Slm, hub: FakeCluster
) -> None:
    metadata = hub.kube.objects[cluster_path("munich")]["metadata"]
    metadata["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "a secret"}

    out = slm("snapshot").out

    assert TOKEN not in out
    assert encoded(TOKEN.encode()) not in out
    assert "a secret" not in out
    assert all(one.method == "GET" for one in hub.kube.seen)


UNSEEN: dict[str, tuple[Callable[[FakeCluster], None], str]] = {
    "an agent calls": (
        lambda hub: declare(hub, "munich"),
        "its agent has told nothing of its nodes yet",
    ),
    "a credential plugin gives its token": (
        lambda hub: hub.put(cluster_path("munich"), model_cluster("munich", connection=profiled())),
        "which runs in the operator alone",
    ),
    "its Secret is not there": (
        lambda hub: declare(hub, "munich", secret="other"),
        "with the key kubeconfig is not there",
    ),
    "its Secret holds no text": (
        lambda hub: hub.kube.objects[f"/api/v1/namespaces/{SYSTEM}/secrets/munich"].update(
            data={"kubeconfig": "?"}
        ),
        "with the key kubeconfig is not there",
    ),
    "its kubeconfig is none": (lambda hub: put_kubeconfig(hub, "munich", b"[]"), "kubeconfig in"),
    "it does not answer": (
        lambda hub: put_kubeconfig(hub, "munich", reached_at("https://127.0.0.1:9")),
        "127.0.0.1:9",
    ),
}


@pytest.mark.parametrize(("change", "why"), UNSEEN.values(), ids=UNSEEN)
def test_a_cluster_that_cannot_be_read_is_named_with_the_reason(
    slm: Slm, hub: FakeCluster, change: Callable[[FakeCluster], None], why: str
) -> None:
    change(hub)

    outcome = slm("snapshot")

    assert outcome.code == 0
    assert "Nothing was seen of munich: " in outcome.err
    assert why in outcome.err
    assert why in json.loads(outcome.out)["unseen"]["munich"]


def test_a_cluster_that_nobody_connected_is_named(slm: Slm, hub: FakeCluster) -> None:
    hub.put(cluster_path("munich"), model_cluster("munich"))
    assert "Nothing was seen of munich: nothing connects it" in slm("snapshot").err


def test_a_cluster_whose_agent_calls_is_as_the_agent_told(slm: Slm, hub: FakeCluster) -> None:
    declare(hub, "munich")
    room = {"name": "m-1", "cpu": "8", "memory": "32Gi", "freeCPU": "4", "freeMemory": "16Gi"}
    capacity = {
        "nodes": [room],
        "engines": ["LlamaCpp"],
        "modelsPerPool": 20,
        "workersMax": 3,
        "requestTimeout": "10m",
    }
    hub.kube.objects[cluster_path("munich")]["status"]["capacity"] = capacity

    outcome = slm("snapshot")

    assert outcome.err == ""
    (node_of_munich,) = json.loads(outcome.out)["views"][1]["nodes"]
    assert (node_of_munich["name"], node_of_munich["freeCpuCores"]) == ("m-1", 4.0)


def test_what_this_slm_cannot_read_is_named(slm: Slm, hub: FakeCluster) -> None:
    put_model(hub, name="newer", spec={"model": "little-1b", "mood": "good"})

    outcome = slm("snapshot")

    assert outcome.code == 1
    assert "SmallModel team/newer has spec.mood, which this version of slm" in outcome.err


def test_without_an_operator_there_is_nothing_to_record(slm: Slm, bare: FakeCluster) -> None:
    outcome = slm("snapshot")
    assert outcome.code == 4
    assert "has no operator" in outcome.err


def test_the_operators_currency_and_prices_are_in_it(slm: Slm, hub: FakeCluster) -> None:
    labels = {
        "app.kubernetes.io/component": "operator",
        "app.kubernetes.io/part-of": "smallmodel",
    }
    placement = json.dumps({"currency": "EUR", "usdRate": "0.5"})
    environment = {
        "SMALLMODEL_SERVING_CPU_IMAGE": "registry/serving-cpu:1",
        "SMALLMODEL_PLACEMENT": placement,
    }
    put_deployment(hub, "smallmodel-operator", SYSTEM, labels, environment=environment)

    told = json.loads(slm("snapshot").out)

    assert told["placement"]["currency"] == "EUR"
    assert "EUR/h" in told["decisions"][0]["decision"]["candidates"][0]["message"]


def test_a_lost_cluster_moves_its_model_and_the_sum_says_what_it_costs(
    slm: Slm, taken: Path
) -> None:
    outcome = slm("whatif", "--snapshot", taken, "--lost", "local")

    assert outcome.code == 0
    assert outcome.err == ""
    row = outcome.out.splitlines()[1].split()
    assert row[:4] == ["team", "chat", "local", "munich"]
    assert "local is lost; then LowestCost" in outcome.out
    assert "Of 1 running models 1 would move, and for 0 there would be no place" in outcome.out


def test_a_law_and_a_price_are_asked_together(slm: Slm, taken: Path) -> None:
    dearer = slm("whatif", "--snapshot", taken, "--price", "local=10000")
    assert dearer.out.splitlines()[1].split()[2:4] == ["local", "munich"]

    forbidden = slm("whatif", "--snapshot", taken, "--law", "team=FR", "-o", "json")
    told = json.loads(forbidden.out)
    assert (told["models"], told["stops"]) == (1, 1)
    assert "ResidencyForbidden" in told["fates"][0]["why"]


def test_a_model_that_waits_is_counted_apart(slm: Slm, hub: FakeCluster, tmp_path: Path) -> None:
    spec = {"model": "little-1b", "placement": {"maxCostPerHour": "0.01"}}
    put_model(hub, name="dear", spec=spec)
    path = tmp_path / "snapshot.json"
    path.write_text(slm("snapshot").out)

    outcome = slm("whatif", "--snapshot", path, "--price", "local=0.00001")

    assert "nowhere" in outcome.out
    assert outcome.out.endswith("Of those that wait now 1 would have a place.\n")


def test_an_edited_snapshot_says_that_it_is_not_what_was_decided(slm: Slm, taken: Path) -> None:
    told = json.loads(taken.read_text())
    told["sources"] = [data_source(residency={"jurisdictions": ["FR"]})]
    taken.write_text(json.dumps(told))

    outcome = slm("whatif", "--snapshot", taken)

    assert outcome.code == 0
    assert "Of team/chat this slm decides another thing than was recorded" in outcome.err


def test_what_the_example_says_is_decided_is_decided() -> None:
    example = read_snapshot(EXAMPLE)
    assert [one.name for one in example.decisions] == ["answers", "mails", "search"]
    assert example.not_reproduced() == ()


def edited(taken: Path, **changes: Any) -> str:
    return json.dumps(json.loads(taken.read_text()) | changes)


BAD: dict[str, tuple[Callable[[Path], str], tuple[str, ...], int, str]] = {
    "it is cut short": (
        lambda taken: taken.read_text()[:-200],
        (),
        3,
        "is cut short, or no snapshot",
    ),
    "it is of a later version": (
        lambda taken: edited(taken, version=2, slm="9.0"),
        (),
        3,
        "is a snapshot of version 2, written by slm 9.0; slm",
    ),
    "it is what kubectl recorded": (
        lambda taken: json.dumps({"kind": "List", "items": []}),
        (),
        3,
        "has the kind 'List', and a snapshot has SmallModelSnapshot",
    ),
    "it is a list": (lambda taken: "[]", (), 3, "has the kind None"),
    "a field has the wrong kind": (
        lambda taken: edited(taken, hubId=7),
        (),
        3,
        "hubId: Input should be a valid string",
    ),
    "the lost cluster is unknown": (
        Path.read_text,
        ("--lost", "munch"),
        2,
        "there is no cluster 'munch'; there are: local, munich",
    ),
    "the dearer cluster is unknown": (
        Path.read_text,
        ("--price", "munch=2"),
        2,
        "there is no cluster 'munch'",
    ),
    "the law's namespace is unknown": (
        Path.read_text,
        ("--law", "tema=DE"),
        2,
        "no model is in the namespace 'tema' that --law names; models are in: team",
    ),
}


@pytest.mark.parametrize(("text", "words", "code", "said"), BAD.values(), ids=BAD)
def test_a_snapshot_or_a_change_that_makes_no_sense_is_refused(
    slm: Slm,
    taken: Path,
    text: Callable[[Path], str],
    words: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    taken.write_text(text(taken))

    outcome = slm("whatif", "--snapshot", taken, *words)

    assert outcome.code == code
    assert said in outcome.err
    assert outcome.out == ""


def test_a_file_that_is_not_there_says_how_one_is_made(slm: Slm, tmp_path: Path) -> None:
    outcome = slm("whatif", "--snapshot", tmp_path / "none.json")
    assert outcome.code == 4
    assert "does not exist. Take a snapshot: slm snapshot > snapshot.json" in outcome.err


@pytest.mark.parametrize("both", [False, True], ids=["neither", "both"])
def test_exactly_one_record_is_given(slm: Slm, taken: Path, both: bool) -> None:
    outcome = slm("whatif", *([taken, "--snapshot", taken] if both else []))
    assert outcome.code == 2
    assert "give one of FILE" in outcome.err


IN_MUNICH = {"cluster": "munich", "zone": "eu-1a", "readFrom": "Volume"}


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        ({"claim": "records"}, {"claim": "records", "found": [IN_MUNICH]}),
        (
            {"bucket": "s3://records"},
            {"bucket": {"url": "s3://records", "provider": "aws", "region": "eu-1"}},
        ),
    ],
    ids=["the claim", "the bucket"],
)
def test_where_data_was_found_is_recorded_by(
    slm: Slm, hub: FakeCluster, tmp_path: Path, spec: dict[str, Any], status: dict[str, Any]
) -> None:
    source = data_source(**spec) | {"status": status}
    hub.put("/apis/smallmodel.dev/v1alpha1/namespaces/team/datasources/records", source)
    path = tmp_path / "snapshot.json"

    path.write_text(slm("snapshot").out)

    (read,) = read_snapshot(path).sources
    assert read.status == DataSourceStatus.model_validate(status)
