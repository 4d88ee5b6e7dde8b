"""`slm cluster`: clusters join a hub, are looked at, emptied and taken off."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders.admission import profiled
from builders.cluster_objects import put_definition, rayservice_definition
from builders.fake_cluster import SYSTEM, FakeCluster, fake_cluster
from builders.kube_objects import HUB
from builders.kubeconfigs import TOKEN, encoded, kubeconfig, pair, server_tls
from builders.linked_clusters import cluster_path, kube_system
from builders.placements import model_placement
from smallmodel_operator.cli.errors import ExitCode
from smallmodel_operator.clusters.credentials import Credentials, read_kubeconfig
from smallmodel_operator.plan.members import TOKEN_SECRET
from smallmodel_operator.plan.placements import placement_manifest
from support.command_line import Slm

SECRET = f"/api/v1/namespaces/{SYSTEM}/secrets/smallmodel-cluster-munich"
PLACED = "/apis/smallmodel.dev/v1alpha1/namespaces/slm-cluster-munich/modelplacements/chat"
NAMESPACE = "/api/v1/namespaces/slm-cluster-munich"
DEBTS = f"/api/v1/namespaces/{SYSTEM}/configmaps/smallmodel-debts"


@pytest.fixture
def hub(cluster: FakeCluster) -> FakeCluster:
    """A hub."""
    cluster.put("/api/v1/namespaces/kube-system", kube_system("uid-hub"))
    return cluster


@pytest.fixture
def munich() -> Iterator[FakeCluster]:
    """Another cluster, whose controllers made a token for the hub's account."""
    with fake_cluster(server_tls(pair())) as fake:
        fake.put("/api/v1/namespaces/kube-system", kube_system("uid-munich"))
        fake.kube.objects["/version"] = {"gitVersion": "v1.36.3"}
        fake.kube.objects["/apis/ray.io/v1"] = {"resources": [{"name": "rayservices"}]}
        put_definition(fake, rayservice_definition())
        token = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": TOKEN_SECRET, "namespace": SYSTEM},
            "data": {"token": encoded(TOKEN.encode())},
        }
        fake.put(f"/api/v1/namespaces/{SYSTEM}/secrets/{TOKEN_SECRET}", token)
        yield fake


@pytest.fixture
def admin(munich: FakeCluster, tmp_path: Path) -> Path:
    """A kubeconfig of that cluster's administrator, who keeps the authority in a file."""
    (tmp_path / "ca.crt").write_bytes(pair().certificate)
    cluster = {"server": munich.kube.url, "certificate-authority": "ca.crt"}
    path = tmp_path / "munich"
    path.write_text(yaml.safe_dump(kubeconfig(cluster=cluster)))
    return path


def declare(hub: FakeCluster, *, state: str | None = None, models: int = 0) -> None:
    """Have the cluster be there on the hub, with its models."""
    link = {"state": state, "since": "2026-01-01T00:00:00Z", "reason": state, "message": "words"}
    hub.put(
        cluster_path("munich"),
        {
            "apiVersion": "smallmodel.dev/v1alpha1",
            "kind": "ModelCluster",
            "metadata": {"name": "munich"},
            "spec": {
                "connection": {"mode": "Push", "kubeconfigSecretRef": {"name": "munich"}},
                "jurisdiction": "DE",
                "taints": [{"key": "edge"}],
            },
            "status": {"link": {**link, "clusterUID": "uid-munich"}} if state else {},
        },
    )
    hub.put(NAMESPACE, {"metadata": {"name": "slm-cluster-munich"}})
    for _ in range(models):
        made = placement_manifest(model_placement())
        metadata = made["metadata"] | {"namespace": "slm-cluster-munich", "name": "chat"}
        hub.put(PLACED, made | {"metadata": metadata})


def spec_of(hub: FakeCluster) -> dict[str, Any]:
    spec: dict[str, Any] = hub.kube.objects[cluster_path("munich")]["spec"]
    return spec


def credentials_of(hub: FakeCluster) -> Credentials:
    content = base64.b64decode(hub.kube.objects[SECRET]["data"]["kubeconfig"])
    return read_kubeconfig(content, "it")


def test_join_prepares_the_cluster_and_declares_it(
    slm: Slm, hub: FakeCluster, munich: FakeCluster, admin: Path
) -> None:
    words = ("--kubeconfig", str(admin), "--jurisdiction", "DE", "--tier", "Edge")
    outcome = slm("cluster", "join", "munich", *words)

    assert outcome.code == 0, outcome.err
    there = munich.kube.objects
    assert f"/api/v1/namespaces/{SYSTEM}/serviceaccounts/smallmodel-hub" in there
    assert "/apis/rbac.authorization.k8s.io/v1/clusterroles/smallmodel-hub" in there
    assert credentials_of(hub) == Credentials(
        server=munich.kube.url, authority=pair().certificate.decode(), token=TOKEN
    )
    assert hub.kube.objects[SECRET]["metadata"]["labels"]["smallmodel.dev/hub"] == HUB
    assert spec_of(hub) == {
        "connection": {
            "mode": "Push",
            "kubeconfigSecretRef": {"name": "smallmodel-cluster-munich", "key": "kubeconfig"},
            "clusterUID": "uid-munich",
        },
        "jurisdiction": "DE",
        "tier": "Edge",
    }
    assert "ServiceAccount smallmodel-system/smallmodel-hub is there" in outcome.out
    assert "ModelCluster munich is there" in outcome.out
    assert "KubeRay: is there" in outcome.out
    assert TOKEN not in outcome.out + outcome.err


def test_joining_again_keeps_what_an_administrator_declared(
    slm: Slm, hub: FakeCluster, munich: FakeCluster, admin: Path
) -> None:
    declare(hub)
    outcome = slm("cluster", "join", "munich", "--kubeconfig", str(admin))

    assert outcome.code == 0, outcome.err
    assert spec_of(hub)["jurisdiction"] == "DE"
    assert spec_of(hub)["taints"] == [{"key": "edge"}]
    assert spec_of(hub)["connection"]["clusterUID"] == "uid-munich"
    assert "and what it had besides" in outcome.out


def test_a_cluster_of_a_cluster_profile_may_join_by_a_kubeconfig(
    slm: Slm, hub: FakeCluster, munich: FakeCluster, admin: Path
) -> None:
    declare(hub)
    spec_of(hub)["connection"] = profiled()
    outcome = slm("cluster", "join", "munich", "--kubeconfig", str(admin))

    assert outcome.code == 0, outcome.err
    assert spec_of(hub)["connection"].get("clusterProfileRef") is None
    assert spec_of(hub)["connection"]["kubeconfigSecretRef"]["key"] == "kubeconfig"


def test_it_is_described_how_a_cluster_is_reached(slm: Slm, hub: FakeCluster) -> None:
    declare(hub)
    secret = slm("cluster", "describe", "munich").out
    spec_of(hub)["connection"] = profiled()
    profile = slm("cluster", "describe", "munich").out

    assert "the kubeconfig in Secret munich (kubeconfig)" in secret
    assert "ClusterProfile fleet/edge" in profile


def test_a_missing_kuberay_is_told(
    slm: Slm, hub: FakeCluster, munich: FakeCluster, admin: Path
) -> None:
    munich.kube.objects["/apis/ray.io/v1"] = {"resources": []}
    outcome = slm("cluster", "join", "munich", "--kubeconfig", str(admin))
    assert outcome.code == 0, outcome.err
    assert "KubeRay: KubeRay is not installed" in outcome.out


def test_one_cluster_joins_once(
    slm: Slm, hub: FakeCluster, munich: FakeCluster, admin: Path
) -> None:
    declare(hub, state="Connected")
    outcome = slm("cluster", "join", "berlin", "--kubeconfig", str(admin))
    assert outcome.code == ExitCode.USAGE
    assert "is ModelCluster munich already" in outcome.err
    assert munich.kube.methods["PATCH"] == 0


def test_the_hub_itself_is_not_joined(
    slm: Slm, hub: FakeCluster, munich: FakeCluster, admin: Path
) -> None:
    for name in ("munich", "local"):
        munich.put("/api/v1/namespaces/kube-system", kube_system("uid-hub"))
        outcome = slm("cluster", "join", name, "--kubeconfig", str(admin))
        assert outcome.code == ExitCode.USAGE
        assert "the hub's own cluster" in outcome.err


def test_join_asks_which_cluster_is_meant(slm: Slm, hub: FakeCluster) -> None:
    outcome = slm("cluster", "join", "munich")
    assert outcome.code == ExitCode.USAGE
    assert "--kubeconfig FILE" in outcome.err


def test_a_cluster_without_an_operator_is_no_hub(
    slm: Slm, bare: FakeCluster, munich: FakeCluster, admin: Path
) -> None:
    outcome = slm("cluster", "join", "munich", "--kubeconfig", str(admin))
    assert outcome.code == ExitCode.NOT_FOUND
    assert "it is no hub" in outcome.err


def test_clusters_are_listed(slm: Slm, hub: FakeCluster) -> None:
    declare(hub, state="Unreachable")
    header, local, munich = slm("cluster", "list").out.splitlines()

    assert header.split()[:4] == ["NAME", "CONNECTION", "LINK", "TIER"]
    assert local.split()[:2] == ["local", "Local"]
    assert munich.split()[:3] == ["munich", "Push", "Unreachable"]
    listed = json.loads(slm("cluster", "list", "-o", "json").out)
    assert [one["metadata"]["name"] for one in listed["items"]] == ["local", "munich"]


def test_a_cluster_is_described(slm: Slm, hub: FakeCluster) -> None:
    declare(hub, state="Unreachable", models=1)
    told = slm("cluster", "describe", "munich").out
    for words in ("Unreachable", "uid-munich", "never", "edge:NoSelect", "DE"):
        assert words in told
    assert "Models:        1" in told
    found = json.loads(slm("cluster", "describe", "munich", "-o", "json").out)
    assert found["spec"]["jurisdiction"] == "DE"


def test_an_unknown_cluster_is_told_with_those_there_are(slm: Slm, hub: FakeCluster) -> None:
    outcome = slm("cluster", "describe", "berlin")
    assert outcome.code == ExitCode.NOT_FOUND
    assert "there is no ModelCluster 'berlin'; there are: local" in outcome.err


def test_drain_taints_once_and_can_be_undone(slm: Slm, hub: FakeCluster) -> None:
    declare(hub, models=1)
    for _ in range(2):
        outcome = slm("cluster", "drain", "munich")
        assert outcome.code == 0, outcome.err
        assert "has 1 models" in outcome.err
    keys = [one["key"] for one in spec_of(hub)["taints"]]
    assert keys == ["edge", "smallmodel.dev/drain"]
    assert slm("cluster", "drain", "munich", "--undo").code == 0
    assert [one["key"] for one in spec_of(hub)["taints"]] == ["edge"]


def test_a_cluster_without_models_is_removed(slm: Slm, hub: FakeCluster) -> None:
    declare(hub, state="Connected")
    hub.put(SECRET, {"metadata": {"name": "smallmodel-cluster-munich", "namespace": SYSTEM}})
    outcome = slm("cluster", "remove", "munich")

    assert outcome.code == 0, outcome.err
    for path in (cluster_path("munich"), SECRET, NAMESPACE, DEBTS):
        assert path not in hub.kube.objects


@pytest.mark.parametrize("state", ["Connected", "Degraded", None])
def test_a_cluster_that_answers_is_emptied_first(
    slm: Slm, hub: FakeCluster, state: str | None
) -> None:
    declare(hub, state=state, models=1)
    outcome = slm("cluster", "remove", "munich", "--confirm", "munich")
    assert outcome.code == ExitCode.FAILED
    assert "slm cluster drain munich" in outcome.err
    assert cluster_path("munich") in hub.kube.objects


def test_one_that_cannot_be_reached_is_removed_by_its_name_and_its_debt_is_kept(
    slm: Slm, hub: FakeCluster
) -> None:
    declare(hub, state="Unreachable", models=1)
    outcome = slm("cluster", "remove", "munich")
    assert "--confirm munich" in outcome.err
    assert PLACED in hub.kube.objects

    outcome = slm("cluster", "remove", "munich", "--confirm", "munich")
    assert outcome.code == 0, outcome.err
    assert cluster_path("munich") not in hub.kube.objects
    assert PLACED not in hub.kube.objects
    debt = json.loads(hub.kube.objects[DEBTS]["data"]["munich"])
    assert debt["clusterUID"] == "uid-munich"
    assert debt["placements"] == ["chat"]


def test_the_hubs_own_cluster_is_not_removed(slm: Slm, hub: FakeCluster) -> None:
    outcome = slm("cluster", "remove", "local")
    assert outcome.code == ExitCode.USAGE
    assert "is not removed" in outcome.err
