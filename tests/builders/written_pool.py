"""A pool as the writer writes it, and where its objects lie in a fake of the API server."""

from builders.fake_kube_api import FakeKubeApi
from builders.pool_values import (
    NAMESPACE,
    cluster_pool,
    fetch_job_of,
    placement_of,
    pool_settings,
)
from smallmodel_operator.handlers.writer import Writer
from smallmodel_operator.plan.pools.values import ClusterPool, Manifest

SETTINGS = pool_settings()
POOL = cluster_pool("chat")
CORE = f"/api/v1/namespaces/{NAMESPACE}"
SERVICE = f"/apis/ray.io/v1/namespaces/{NAMESPACE}/rayservices/{POOL.name}"
CLUSTER = f"/apis/ray.io/v1/namespaces/{NAMESPACE}/rayclusters/chat-xyz"
SECRET = f"{CORE}/secrets/{POOL.name}-token"
POLICIES = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
CLAIM = f"{CORE}/persistentvolumeclaims/smallmodel-weights"
JOB = fetch_job_of(placement_of(), SETTINGS)
JOB_PATH = f"{JOBS}/{JOB['metadata']['name']}"


def writes(kube: FakeKubeApi) -> list[tuple[str, str]]:
    return [(one.method, one.path) for one in kube.seen if one.method != "GET"]


async def live_pool(writer: Writer, kube: FakeKubeApi, pool: ClusterPool = POOL) -> Manifest:
    """The pool is written, and nothing is remembered of that."""
    await writer.pool(pool, None)
    kube.seen.clear()
    return kube.objects[SERVICE]
