"""What is said against an object is its models' problem; what is somebody else's is let be."""

from typing import Any

import pytest

from builders.fake_kube_api import FakeKubeApi, refuse
from builders.fake_namespace import START
from builders.pool_values import NAMESPACE
from builders.serve_loop import FakeCluster, forbid, kinds
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.clusters import errors
from smallmodel_operator.handlers.refused import problem_of


async def test_what_the_api_server_refuses_becomes_the_models_problem_until_it_is_accepted(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    cluster.place()
    kube.replies = [forbid("rayservices")] * 40

    with pytest.raises(errors.ApiError):
        await cluster.work()
    with pytest.raises(errors.ApiError):
        await cluster.work()
    problem = cluster.status().problem
    assert problem is not None
    assert problem.reason is Reason.REFUSED
    assert "exceeded quota" in problem.message

    kube.replies.clear()
    await cluster.work()
    await cluster.work()
    problem = cluster.status().problem
    assert problem is not None
    assert problem.reason is Reason.POOL_STARTING


async def test_an_api_server_that_is_busy_is_no_models_problem(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    cluster.place()

    def busy(request: Any) -> Any:
        wrong = request.method == "PATCH" and "/rayservices" in request.path
        return refuse(409, "Conflict")(request) if wrong else None

    kube.replies = [busy] * 40
    for _ in range(2):
        with pytest.raises(errors.ApiError):
            await cluster.work()
    problem = cluster.status().problem
    assert problem is not None
    assert problem.reason is Reason.POOL_STARTING


async def test_a_pool_that_is_refused_holds_no_model_that_leaves(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    cluster.place("chat")
    path = cluster.place("embed", deletion_timestamp=START)
    kube.replies = [forbid("rayservices")] * 40

    with pytest.raises(errors.ApiError):
        await cluster.work()

    assert not kube.objects[path]["metadata"].get("finalizers")


FOREIGN = {
    "a claim": ("PersistentVolumeClaim", "v1", "/api/v1", "persistentvolumeclaims"),
    "a fetch Job": ("Job", "batch/v1", "/apis/batch/v1", "jobs"),
    "a Secret": ("Secret", "v1", "/api/v1", "secrets"),
}


@pytest.mark.parametrize("case", FOREIGN)
async def test_what_is_somebody_elses_is_said_and_not_touched_until_it_makes_room(
    cluster: FakeCluster, kube: FakeKubeApi, case: str
) -> None:
    kind, api_version, root, plural = FOREIGN[case]
    folder = f"{root}/namespaces/{NAMESPACE}/{plural}"
    cluster.place()
    await cluster.work()
    name = next(path for path in kube.objects if path.startswith(f"{folder}/")).split("/")[-1]
    # As if the operator came now.
    await cluster.forget()
    theirs = {"name": name, "namespace": NAMESPACE}
    foreign = kube.put(
        f"{folder}/{name}", {"kind": kind, "apiVersion": api_version, "metadata": theirs}
    )

    for _ in range(2):
        with pytest.raises(errors.NameConflict):
            await cluster.work()

    problem = cluster.status().problem
    assert problem is not None
    assert problem.reason is Reason.NAME_CONFLICT
    assert name in problem.message
    assert kube.objects[f"{folder}/{name}"] == foreign
    if case == "a claim":
        assert {"jobs", "rayservices"}.isdisjoint(kinds(kube)), "they would mount it"

    del kube.objects[f"{folder}/{name}"]
    for _ in range(2):
        await cluster.work()
    problem = cluster.status().problem
    assert problem is not None
    assert problem.reason is Reason.POOL_STARTING


def test_a_mirror_that_breaks_the_schema_says_that_the_cluster_is_behind() -> None:
    refusal = errors.Invalid(".spec.devicePercent: field not declared in schema", status=422)

    assert problem_of(refusal).reason is Reason.REFUSED
    behind = problem_of(refusal, of_mirrors=True)
    assert behind.reason is Reason.AGENT_TOO_OLD
    assert "devicePercent" in behind.message
    quota = errors.Forbidden("exceeded quota", status=403)
    assert problem_of(quota, of_mirrors=True).reason is Reason.REFUSED
