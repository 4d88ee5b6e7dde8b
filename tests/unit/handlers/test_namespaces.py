"""The serve loop against a fake API server: gathers once, decides, writes once."""

from collections.abc import AsyncIterator

import pytest

from builders.fake_kube_api import FakeKubeApi
from builders.fake_namespace import START, good_answer
from builders.fake_ray_dashboard import FakeRayDashboard, fake_ray_dashboard
from builders.plan_values import model_args
from builders.pool_values import NAMESPACE
from builders.serve_answers import application, index, text
from builders.serve_loop import FakeCluster, forbid, kinds
from smallmodel_operator.api.fetch import FetchDone
from smallmodel_operator.api.names import FINALIZER
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.clusters import errors
from smallmodel_operator.handlers import dashboards, namespaces
from smallmodel_operator.handlers.namespaces import is_ready
from smallmodel_operator.handlers.probes import Probes
from smallmodel_operator.handlers.refused import problem_of
from smallmodel_operator.plan.pools.values import Manifest, PoolError


async def test_a_model_gets_its_pool_its_fetch_and_its_claim(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    cluster.place()

    await cluster.work()

    assert kinds(kube) == {
        "modelplacements",
        "rayservices",
        "secrets",
        "networkpolicies",
        "jobs",
        "persistentvolumeclaims",
    }
    problem = cluster.status().problem
    assert problem is not None
    assert problem.reason is Reason.POOL_STARTING


async def test_a_pass_where_nothing_changed_writes_nothing(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    cluster.place()
    for _ in range(3):
        await cluster.work()
    kube.seen.clear()

    await cluster.work()

    assert {one.method for one in kube.seen} <= {"GET"}


async def test_a_model_is_added_once_the_pool_is_there_and_its_weights_are(
    cluster: FakeCluster,
) -> None:
    cluster.place()
    await cluster.work()
    cluster.end_jobs()
    await cluster.work()
    assert cluster.models() == set()

    cluster.start_pool()
    await cluster.work()

    assert cluster.models() == {"chat"}
    assert isinstance(cluster.status().fetch, FetchDone)


@pytest.fixture
async def head(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FakeRayDashboard]:
    """The head of a pool that has the model, which the operator has yet to see."""
    cluster.place()
    await cluster.work()
    cluster.end_jobs()
    async with fake_ray_dashboard() as ray:
        monkeypatch.setattr(dashboards, "DASHBOARD_PORT", ray.port)
        key = (NAMESPACE, cluster.pool()["metadata"]["name"])
        secret = f"/api/v1/namespaces/{NAMESPACE}/secrets/{key[1]}-token"
        cluster.kube.objects[secret]["data"] = {"auth_token": "cG9vbC10b2tlbg=="}
        args = model_args("chat").model_dump(mode="json")
        ray.content = text(index(), application("chat", args=args))
        cluster.start_pool(head=ray.address)
        yield ray


async def test_what_serve_says_comes_with_the_pools_own_token(
    cluster: FakeCluster, head: FakeRayDashboard
) -> None:
    await cluster.work()

    deployment = cluster.status().deployment
    assert deployment is not None
    assert deployment.replicas == 1
    assert head.asked == 1


async def test_a_new_head_without_its_config_says_nothing_of_the_models(
    cluster: FakeCluster, head: FakeRayDashboard
) -> None:
    def told() -> object:
        written = [one for one in cluster.kube.seen if one.path.endswith("/status")]
        return written[-1].body["status"].get("deployment")

    await cluster.work()
    before = told()
    assert before is not None

    head.content = text()
    await cluster.work()
    assert told() == before

    head.content = text(index())
    await cluster.work()
    assert told() is None


async def test_the_last_model_takes_everything_with_it(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    cluster.place()
    await cluster.work()
    path = cluster.place(deletion_timestamp=START)

    await cluster.work()
    assert FINALIZER in kube.objects[path]["metadata"]["finalizers"], "its pool was there"
    await cluster.work()

    assert kinds(kube) == {"modelplacements"}
    assert not kube.objects[path]["metadata"].get("finalizers")


async def test_a_placement_is_held_while_something_of_it_cannot_be_deleted(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    cluster.place()
    await cluster.work()
    path = cluster.place(deletion_timestamp=START)
    await cluster.work()
    kube.replies = [forbid("persistentvolumeclaims", "DELETE")] * 20

    with pytest.raises(errors.ApiError):
        await cluster.work()

    assert FINALIZER in kube.objects[path]["metadata"]["finalizers"]


async def test_a_pass_before_the_event_knows_what_the_last_one_wrote(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    cluster.place()
    await cluster.work()
    kube.seen.clear()

    await cluster.loop.work(NAMESPACE)

    paths = [one.path for one in kube.seen if one.method != "GET"]
    assert not [path for path in paths if path.endswith("/status") or "/rayservices/" in path]


async def test_a_status_is_not_written_over_one_that_was_not_seen(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    path = cluster.place()
    cluster.watch()
    kube.put(path, kube.objects[path])

    with pytest.raises(errors.Conflict):
        await cluster.loop.work(NAMESPACE)

    assert "status" not in kube.objects[path]


async def test_while_a_namespace_changes_its_statuses_wait_but_not_for_long(
    cluster: FakeCluster, kube: FakeKubeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cluster.place()
    cluster.more = True

    await cluster.work()
    assert "rayservices" in kinds(kube)
    assert "status" not in kube.objects[path]

    monkeypatch.setattr(namespaces, "_SILENCE_SECONDS", 0.0)
    await cluster.work()
    assert "status" in kube.objects[path]


async def test_one_pass_writes_no_more_statuses_than_the_next_change_can_wait_for(
    cluster: FakeCluster, kube: FakeKubeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespaces, "_STATUSES_AT_ONCE", 1)
    paths = [cluster.place("chat"), cluster.place("embed")]

    await cluster.work()
    assert sum("status" in kube.objects[path] for path in paths) == 1
    assert cluster.woken == [NAMESPACE] * len(cluster.woken) != []

    await cluster.work()
    assert all("status" in kube.objects[path] for path in paths)


async def test_a_stripped_pool_is_one_pools_business(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    cluster.place()
    await cluster.work()
    before = dict(cluster.pool()["metadata"]["annotations"])
    cluster.pool()["metadata"]["annotations"] = {}

    await cluster.work()

    assert cluster.pool()["metadata"]["annotations"] == before


async def test_a_stripped_pool_that_nobody_is_in_goes(
    cluster: FakeCluster, kube: FakeKubeApi
) -> None:
    path = cluster.place()
    await cluster.work()
    cluster.pool()["metadata"]["annotations"] = {}
    del kube.objects[path]

    await cluster.work()

    assert "rayservices" not in kinds(kube)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errors.NameConflict("it is theirs"), Reason.NAME_CONFLICT),
        (errors.ApiMissing("no RayService"), Reason.API_MISSING),
        (errors.NamespaceEnding("it ends"), Reason.NAMESPACE_ENDING),
        (errors.Forbidden("quota"), Reason.REFUSED),
        (PoolError("given twice"), Reason.REFUSED),
    ],
)
def test_each_refusal_has_a_reason(error: errors.ApiError | PoolError, reason: Reason) -> None:
    assert problem_of(error).reason is reason
    assert problem_of(error).message == str(error)


def test_a_pool_is_ready_when_kuberay_says_so() -> None:
    def status(*conditions: dict[str, str]) -> Manifest:
        return {"status": {"conditions": list(conditions)}}

    assert is_ready(status({"type": "Ready", "status": "True"}))
    assert not is_ready(status({"type": "Ready", "status": "False"}))
    assert not is_ready(status({"type": "UpgradeInProgress", "status": "True"}))
    assert not is_ready({})
    assert not is_ready({"status": None})


def test_an_answer_is_told_until_it_is_written_down_or_its_model_is_gone() -> None:
    probes = Probes(lambda: START, lambda _: None)
    first, second = good_answer("a", START), good_answer("b", START)
    probes._answers = {(NAMESPACE, "chat"): first, ("other", "chat"): first}

    probes.taken(NAMESPACE, {"chat": second, "embed": second})
    assert probes.answers(NAMESPACE) == {"chat": first}, "a newer one is not lost"
    probes.taken(NAMESPACE, {"chat": first})
    assert probes.answers(NAMESPACE) == {}

    probes._answers[NAMESPACE, "chat"] = first
    probes.keep(NAMESPACE, {"chat"})
    assert probes.answers(NAMESPACE) == {"chat": first}
    probes.keep(NAMESPACE, set())
    assert probes.answers(NAMESPACE) == {}
    assert probes.answers("other") == {"chat": first}
