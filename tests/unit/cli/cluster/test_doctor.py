"""`slm doctor` on a cluster: each check says ok, or what is wrong and what to do."""

import json

import pytest

from builders.cluster_objects import (
    put_definition,
    put_deployment,
    put_pool,
    rayservice_definition,
)
from builders.fake_cluster import SYSTEM, FakeCluster
from builders.kube_objects import node
from smallmodel_operator.api.crd import KINDS, build
from support.command_line import Slm

OPERATOR = f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/smallmodel-operator"
GATEWAY = f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/smallmodel-gateway"
KUBERAY = "/apis/apps/v1/namespaces/kuberay-system/deployments/kuberay-operator"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/smallmodel-operator"
CARD = "/apis/smallmodel.dev/v1alpha1/modelcards/little-1b"
CLAIM = "/api/v1/namespaces/team/persistentvolumeclaims/smallmodel-weights"
STORAGE = "/apis/storage.k8s.io/v1/storageclasses/standard"


def findings(slm: Slm, check: str) -> list[tuple[str, str]]:
    """Level and message of each finding of a check."""
    seen = json.loads(slm("doctor", "-o", "json").out)
    return [(one["level"], one["message"]) for one in seen if one["check"] == check]


def test_a_cluster_that_is_fit_has_nothing_to_do(slm: Slm, cluster: FakeCluster) -> None:
    outcome = slm("doctor")
    assert outcome.code == 0
    levels = {line.split()[0] for line in outcome.out.splitlines()[1:]}
    # The catalogue of the test has one card, and this version brings more.
    assert levels == {"ok", "note"}
    assert "Kubernetes v1.36.3, context fake, namespace team" in outcome.out


def test_an_empty_cluster_says_all_that_is_to_be_done(slm: Slm, bare: FakeCluster) -> None:
    bare.kube.objects["/version"] = {"gitVersion": "v1.36.3"}
    bare.not_served = {"smallmodel.dev", "ray.io"}
    outcome = slm("doctor")
    assert outcome.code == 1
    failed = [line.split()[1] for line in outcome.out.splitlines() if line.startswith("FAIL")]
    assert failed == ["CRDs", "KubeRay", "operator", "gateway"]


def test_missing_definitions_are_named(slm: Slm, cluster: FakeCluster) -> None:
    root = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    del cluster.kube.objects[f"{root}/modelcards.smallmodel.dev"]
    [(level, message)] = findings(slm, "CRDs")
    assert level == "FAIL"
    assert message.startswith("modelcards.smallmodel.dev is not there; install the chart")


def test_definitions_of_another_version_are_named(slm: Slm, cluster: FakeCluster) -> None:
    other = build(KINDS[0])
    del other["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    put_definition(cluster, other)
    [(level, message)] = findings(slm, "CRDs")
    assert level == "warn"
    assert "smallmodels.smallmodel.dev is of another version" in message
    assert "`slm crd | kubectl apply --server-side -f -`" in message


def test_a_missing_kuberay_has_its_command(slm: Slm, cluster: FakeCluster) -> None:
    cluster.not_served = {"ray.io"}
    [(level, message)] = findings(slm, "KubeRay")
    assert level == "FAIL"
    assert "helm upgrade --install kuberay-operator" in message


def test_an_old_kuberay_is_refused(slm: Slm, cluster: FakeCluster) -> None:
    put_definition(cluster, rayservice_definition(token_auth=False))
    [(level, message)] = findings(slm, "KubeRay")
    assert level == "FAIL"
    assert "authOptions" in message


def test_a_kuberay_whose_operator_is_gone_is_told(slm: Slm, cluster: FakeCluster) -> None:
    del cluster.kube.objects[KUBERAY]
    [(level, message)] = findings(slm, "KubeRay")
    assert level == "warn"
    assert "no pool ever starts" in message


def test_each_permission_that_is_missing_is_named(slm: Slm, cluster: FakeCluster) -> None:
    cluster.denied = {("create", "pods"), ("patch", "smallmodels")}
    [(level, message)] = findings(slm, "your permissions")
    assert level == "warn"
    assert "patch smallmodels in team (kubectl apply)" in message
    assert f"create pods/portforward in {SYSTEM} (chat, url --forward)" in message
    assert "ClusterRole `edit`" in message


def test_an_operator_that_is_not_installed(slm: Slm, cluster: FakeCluster) -> None:
    del cluster.kube.objects[OPERATOR]
    [(level, message)] = findings(slm, "operator")
    assert level == "FAIL"
    assert "helm upgrade --install smallmodel-operator" in message


def test_an_operator_without_a_ready_pod(slm: Slm, cluster: FakeCluster) -> None:
    cluster.kube.objects[OPERATOR]["status"] = {}
    [(level, message)] = findings(slm, "operator")
    assert level == "FAIL"
    assert "none of its pods is ready" in message
    assert f"kubectl -n {SYSTEM} describe pods" in message


def test_an_operator_that_was_scaled_away(slm: Slm, cluster: FakeCluster) -> None:
    cluster.kube.objects[OPERATOR]["spec"]["replicas"] = 0
    cluster.kube.objects[OPERATOR]["status"] = {}
    assert "it was scaled to 0" in findings(slm, "operator")[0][1]


@pytest.mark.parametrize("lease", [None, {"spec": {}}])
def test_an_operator_that_does_not_lead(
    slm: Slm, cluster: FakeCluster, lease: dict[str, object] | None
) -> None:
    if lease is None:
        del cluster.kube.objects[LEASE]
    else:
        cluster.kube.objects[LEASE] |= lease
    [(level, message)] = findings(slm, "operator")
    assert level == "warn"
    assert "nobody holds the Lease smallmodel-operator" in message


def test_two_operators_are_a_warning(slm: Slm, cluster: FakeCluster) -> None:
    labels = cluster.kube.objects[OPERATOR]["metadata"]["labels"]
    put_deployment(cluster, "second", "elsewhere", labels)
    assert findings(slm, "operator")[0][0] == "warn"
    assert f"elsewhere/second, {SYSTEM}/smallmodel-operator" in findings(slm, "operator")[0][1]


@pytest.mark.parametrize(("ready", "wanted", "level"), [(0, 1, "FAIL"), (1, 2, "warn")])
def test_a_gateway_that_is_not_all_there(
    slm: Slm, cluster: FakeCluster, ready: int, wanted: int, level: str
) -> None:
    cluster.kube.objects[GATEWAY]["spec"]["replicas"] = wanted
    cluster.kube.objects[GATEWAY]["status"] = {"readyReplicas": ready}
    [(seen, message)] = findings(slm, "gateway")
    assert seen == level
    assert f"{ready} of {wanted} ready" in message


def test_a_gateway_of_somebodys_own_is_enough(slm: Slm, cluster: FakeCluster) -> None:
    del cluster.kube.objects[GATEWAY]
    [container] = cluster.kube.objects[OPERATOR]["spec"]["template"]["spec"]["containers"]
    container["env"] += [
        {"name": "SMALLMODEL_GATEWAY_URL", "value": "https://models.example.com"},
        {"name": "SMALLMODEL_HTTP_ROUTE", "value": '{"name": "public", "namespace": "gateways"}'},
    ]
    [(level, message)] = findings(slm, "gateway")
    assert level == "ok"
    assert "the Gateway gateways/public, to https://models.example.com" in message


def test_a_gateway_that_is_not_there(slm: Slm, cluster: FakeCluster) -> None:
    del cluster.kube.objects[GATEWAY]
    assert findings(slm, "gateway")[0][0] == "FAIL"


def test_an_empty_catalogue_is_told(slm: Slm, cluster: FakeCluster) -> None:
    del cluster.kube.objects[CARD]
    [(level, message)] = findings(slm, "catalogue")
    assert level == "warn"
    assert "catalogue.enabled=true" in message


def test_room_is_judged_by_the_smallest_model(slm: Slm, cluster: FakeCluster) -> None:
    [(level, message)] = findings(slm, "capacity")
    assert level == "ok"
    assert message.endswith("little-1b fits")


def test_no_room_says_what_is_needed(slm: Slm, cluster: FakeCluster) -> None:
    cluster.put("/api/v1/nodes/node-1", node(allocatable={"cpu": "1", "memory": "1Gi"}))
    [(level, message)] = findings(slm, "capacity")
    assert level == "FAIL"
    assert "fits. little-1b: " in message


def test_a_cordoned_node_takes_no_pods(slm: Slm, cluster: FakeCluster) -> None:
    cluster.put("/api/v1/nodes/node-1", node(spec={"unschedulable": True}))
    assert findings(slm, "capacity")[0][1].startswith("0 of 1 nodes take pods")


def test_a_bound_claim_is_fine_and_a_pending_one_is_told(slm: Slm, cluster: FakeCluster) -> None:
    claim = {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "smallmodel-weights", "namespace": "team"},
        "status": {"phase": "Bound", "capacity": {"storage": "50Gi"}},
    }
    cluster.put(CLAIM, claim)
    assert findings(slm, "weights") == [("ok", "the claim team/smallmodel-weights is bound 50Gi")]
    cluster.put(CLAIM, {**claim, "status": {"phase": "Pending"}})
    [(level, message)] = findings(slm, "weights")
    assert level == "warn"
    assert "kubectl -n team describe pvc smallmodel-weights" in message


def test_without_a_claim_the_default_storage_class_makes_it(slm: Slm, cluster: FakeCluster) -> None:
    assert findings(slm, "weights")[0] == (
        "ok",
        "the claim team/smallmodel-weights is made with the first model, by standard",
    )
    del cluster.kube.objects[STORAGE]
    [(level, message)] = findings(slm, "weights")
    assert level == "warn"
    assert "no StorageClass is the default (there are: none)" in message


@pytest.mark.parametrize(
    ("volume", "level", "words"),
    [
        ({"storageClassName": "fast"}, "warn", "there is no StorageClass 'fast'"),
        ({"existingClaim": "mine"}, "FAIL", "the claim team/mine is not there"),
        ({"kind": "Pool", "size": "9Gi"}, "ok", "each worker of a pool fetches what it serves"),
    ],
)
def test_the_volume_is_the_one_that_the_chart_was_told(
    slm: Slm, cluster: FakeCluster, volume: dict[str, str], level: str, words: str
) -> None:
    [container] = cluster.kube.objects[OPERATOR]["spec"]["template"]["spec"]["containers"]
    container["env"].append({"name": "SMALLMODEL_WEIGHTS_VOLUME", "value": json.dumps(volume)})
    [(seen, message)] = findings(slm, "weights")
    assert seen == level
    assert message.startswith(words) or words in message


def test_who_may_read_little_is_told_what_was_not_looked_at(slm: Slm, cluster: FakeCluster) -> None:
    cluster.forbidden = {
        "customresourcedefinitions", "deployments", "nodes", "modelcards", "leases",
        "persistentvolumeclaims",
    }  # fmt: skip
    outcome = slm("doctor", "-o", "json")
    notes = [one["check"] for one in json.loads(outcome.out) if one["level"] == "note"]
    assert notes == ["CRDs", "operator", "gateway", "catalogue", "capacity", "weights"]
    assert outcome.code == 0


def test_a_lease_and_a_storage_class_that_may_not_be_read(slm: Slm, cluster: FakeCluster) -> None:
    cluster.forbidden = {"leases", "storageclasses"}
    assert findings(slm, "operator")[0][1].endswith("its Lease is unread")
    assert findings(slm, "weights")[0][0] == "note"


def test_a_full_cluster_with_models_is_a_warning_only(slm: Slm, cluster: FakeCluster) -> None:
    cluster.put("/api/v1/nodes/node-1", node(allocatable={"cpu": "1", "memory": "1Gi"}))
    put_pool(cluster)
    assert findings(slm, "capacity")[0][0] == "warn"
