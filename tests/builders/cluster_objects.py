"""What a cluster has in which the operator is installed, and a model that is served there."""

from typing import Any

from builders.cards import CardBuilder
from builders.fake_cluster import SYSTEM, TEAM, FakeCluster
from builders.kube_objects import HUB, node, pod
from builders.placements import POOL, model_placement, placed_status
from builders.pool_values import cluster_pool, key_of, pool_settings
from builders.small_model_states import STATES
from smallmodel_operator.api.crd import KINDS, build
from smallmodel_operator.api.modelplacement import ModelPlacementStatus
from smallmodel_operator.api.names import LABEL_HUB, LABEL_JOB, LABEL_POOL
from smallmodel_operator.plan.pools.fetchjob import job_name
from smallmodel_operator.plan.pools.rayservice import build_ray_service

Manifest = dict[str, Any]

CARD = "little-1b"
"""What the SmallModel of the builders asks for."""

_OPERATOR_LABELS = {
    "app.kubernetes.io/component": "operator",
    "app.kubernetes.io/part-of": "smallmodel",
}


def install(fake: FakeCluster) -> None:
    """Have everything be there that the chart brings, KubeRay, and a node with room."""
    fake.kube.objects["/version"] = {"gitVersion": "v1.36.3"}
    fake.kube.objects["/apis/ray.io/v1"] = {"resources": [{"name": "rayservices"}]}
    fake.put(f"/api/v1/namespaces/{TEAM}", _named("Namespace", TEAM))
    for kind in KINDS:
        put_definition(fake, build(kind))
    put_definition(fake, rayservice_definition())
    put_deployment(
        fake, "kuberay-operator", "kuberay-system", {"app.kubernetes.io/name": "kuberay"}
    )
    put_deployment(
        fake,
        "smallmodel-operator",
        SYSTEM,
        _OPERATOR_LABELS,
        environment={"SMALLMODEL_SERVING_CPU_IMAGE": "registry/serving-cpu:1"},
    )
    put_deployment(
        fake, "smallmodel-gateway", SYSTEM, {"app.kubernetes.io/name": "smallmodel-gateway"}
    )
    fake.put(
        f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/smallmodel-operator",
        _named("Lease", "smallmodel-operator", SYSTEM, spec={"holderIdentity": "operator-0"}),
    )
    put_pod(
        fake, "gateway-0", SYSTEM, labels={"app.kubernetes.io/name": "smallmodel-gateway"},
        containers=("envoy", "agent"),
    )  # fmt: skip
    put_pod(fake, "operator-0", SYSTEM, labels=_OPERATOR_LABELS, containers=("operator",))
    fake.put("/api/v1/nodes/node-1", node(allocatable={"cpu": "8", "memory": "32Gi"}))
    card = CardBuilder().build()
    fake.put(
        f"/apis/smallmodel.dev/v1alpha1/modelcards/{card.metadata.name}",
        card.model_dump(mode="json", by_alias=True, exclude_none=True),
    )
    cluster = _named("ModelCluster", "local")
    cluster["metadata"]["labels"] = {LABEL_HUB: HUB}
    fake.put("/apis/smallmodel.dev/v1alpha1/modelclusters/local", cluster)
    storage = _named("StorageClass", "standard")
    storage["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
    fake.put("/apis/storage.k8s.io/v1/storageclasses/standard", storage)


def put_model(fake: FakeCluster, state: str = "ready", name: str = "chat", **changed: Any) -> None:
    """Have a SmallModel be there, in one of `STATES`."""
    manifest = STATES[state].manifest | changed
    manifest["metadata"]["name"] = name
    fake.put(f"/apis/smallmodel.dev/v1alpha1/namespaces/{TEAM}/smallmodels/{name}", manifest)


def put_placement(fake: FakeCluster, status: ModelPlacementStatus) -> None:
    """Have the placement of `team/chat` be there."""
    placement = model_placement(status)
    path = "/apis/smallmodel.dev/v1alpha1/namespaces/slm-cluster-local/modelplacements"
    fake.put(
        f"{path}/{placement.metadata.name}",
        placement.model_dump(mode="json", by_alias=True, exclude_none=True),
    )


def put_worker(fake: FakeCluster, name: str = "worker-0", **status: Any) -> None:
    """Have a worker of the model's pool be there."""
    labels = {LABEL_POOL: POOL, "ray.io/node-type": "worker"}
    put_pod(fake, name, TEAM, labels=labels, containers=("ray-worker",), status=status)


def put_pool(fake: FakeCluster) -> None:
    """Have a pool of another namespace be there."""
    pool = cluster_pool("other", key=key_of(namespace="other"))
    made = build_ray_service(pool, pool_settings(hub_id=HUB))
    fake.put(f"/apis/ray.io/v1/namespaces/other/rayservices/{pool.name}", made)


def put_fetch_pod(fake: FakeCluster) -> None:
    """Have the pod of the fetch Job of the model of `put_placement` be there."""
    job = job_name(model_placement(placed_status()).spec.weights)
    labels = {LABEL_JOB: job, "app.kubernetes.io/component": "fetch"}
    put_pod(fake, "fetch-chat-0", TEAM, labels=labels, containers=("fetch",))


def put_pod(
    fake: FakeCluster,
    name: str,
    namespace: str,
    *,
    labels: dict[str, str],
    containers: tuple[str, ...],
    status: dict[str, Any] | None = None,
) -> None:
    """Have a pod be there, ready unless it is said otherwise."""
    made = pod(name, labels=labels)
    made["metadata"]["namespace"] = namespace
    made["spec"]["containers"] = [{"name": container} for container in containers]
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    made["status"] = status or ready
    fake.put(f"/api/v1/namespaces/{namespace}/pods/{name}", made)


def put_event(fake: FakeCluster, name: str, about: str, note: str) -> None:
    """Have an event on a SmallModel be there."""
    event = _named("Event", name, TEAM)
    event |= {
        "regarding": {"kind": "SmallModel", "name": about},
        "type": "Warning",
        "reason": "LoadFailed",
        "note": note,
        "eventTime": "2026-11-24T12:00:00.123456Z",
        "series": {"count": 3, "lastObservedTime": "2026-11-24T12:03:00.5Z"},
    }
    fake.put(f"/apis/events.k8s.io/v1/namespaces/{TEAM}/events/{name}", event)


def put_deployment(
    fake: FakeCluster,
    name: str,
    namespace: str,
    labels: dict[str, str],
    *,
    ready: int = 1,
    environment: dict[str, str] | None = None,
) -> None:
    """Have a Deployment of one pod be there."""
    env = [{"name": key, "value": value} for key, value in (environment or {}).items()]
    containers = [{"name": "operator", "image": "registry/some:1.6.2", "env": env}]
    made = _named(
        "Deployment",
        name,
        namespace,
        spec={"replicas": 1, "template": {"spec": {"containers": containers}}},
    )
    made["metadata"]["labels"] = labels
    made["status"] = {"readyReplicas": ready}
    fake.put(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}", made)


def put_definition(fake: FakeCluster, manifest: Manifest) -> None:
    """Have a CustomResourceDefinition be there."""
    root = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    fake.put(f"{root}/{manifest['metadata']['name']}", manifest)


def rayservice_definition(*, token_auth: bool = True) -> Manifest:
    """KubeRay's CRD, as far as it is looked at."""
    cluster: Manifest = {"properties": {"authOptions": {}} if token_auth else {}}
    schema = {"properties": {"spec": {"properties": {"rayClusterConfig": cluster}}}}
    versions = [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]
    return _named("CustomResourceDefinition", "rayservices.ray.io", spec={"versions": versions})


def _named(kind: str, name: str, namespace: str | None = None, **fields: Any) -> Manifest:
    where = {"namespace": namespace} if namespace else {}
    return {"kind": kind, "metadata": {"name": name, **where}, **fields}
