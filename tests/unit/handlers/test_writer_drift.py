"""What was lost comes back, and what is somebody else's is left alone."""

import pytest

from builders.fake_kube_api import FakeKubeApi
from builders.pool_values import (
    NAMESPACE,
    TOKEN_KEY,
)
from builders.written_pool import (
    CLAIM,
    JOB,
    JOB_PATH,
    POOL,
    SECRET,
    SERVICE,
    SETTINGS,
    live_pool,
    writes,
)
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.handlers.writer import Writer
from smallmodel_operator.plan.pools.values import Manifest


@pytest.fixture
def writer(api: Api) -> Writer:
    return Writer(api, SETTINGS, TOKEN_KEY)


LOST: dict[str, Manifest | None] = {
    "it was deleted": None,
    "somebody put another one in its place": {"auth_token": "YW5vdGhlcg=="},
    "somebody put an empty one in its place": {},
}


@pytest.mark.parametrize("case", LOST)
async def test_a_secret_that_was_lost_comes_back_with_the_token_that_the_pods_know(
    writer: Writer, api: Api, kube: FakeKubeApi, case: str
) -> None:
    live = await live_pool(writer, kube)
    token = kube.objects[SECRET]["data"]
    if LOST[case] is None:
        del kube.objects[SECRET]
    else:
        kube.objects[SECRET]["data"] = LOST[case]

    await Writer(api, SETTINGS, TOKEN_KEY).pool(POOL, live)

    assert kube.objects[SECRET]["data"] == token


async def test_a_foreign_secret_of_the_name_is_a_conflict(
    writer: Writer, kube: FakeKubeApi
) -> None:
    kube.put(
        SECRET,
        {
            "kind": "Secret",
            "apiVersion": "v1",
            "metadata": {"name": f"{POOL.name}-token", "namespace": NAMESPACE},
        },
    )

    with pytest.raises(errors.NameConflict):
        await writer.pool(POOL, None)

    assert SERVICE not in kube.objects


async def test_what_others_have_under_our_names_is_not_deleted(
    writer: Writer, kube: FakeKubeApi
) -> None:
    await live_pool(writer, kube)
    kube.objects[SECRET]["metadata"]["labels"] = {}

    await writer.delete_pool(NAMESPACE, POOL.name)

    assert set(kube.objects) == {SECRET}


async def test_a_claim_that_was_enlarged_stays_so(
    writer: Writer, api: Api, kube: FakeKubeApi
) -> None:
    await writer.namespace(NAMESPACE)
    kube.objects[CLAIM]["spec"]["resources"]["requests"]["storage"] = "900Gi"
    kube.seen.clear()

    await Writer(api, SETTINGS, TOKEN_KEY).namespace(NAMESPACE)

    assert writes(kube) == []


async def test_a_foreign_claim_of_the_name_is_a_conflict(writer: Writer, kube: FakeKubeApi) -> None:
    claim = kube.put(
        CLAIM,
        {
            "kind": "PersistentVolumeClaim",
            "apiVersion": "v1",
            "metadata": {"name": "smallmodel-weights", "namespace": NAMESPACE},
        },
    )

    with pytest.raises(errors.NameConflict):
        await writer.namespace(NAMESPACE)

    assert kube.objects == {CLAIM: claim}


async def test_a_foreign_job_of_the_name_is_a_conflict(writer: Writer, kube: FakeKubeApi) -> None:
    kube.put(
        JOB_PATH,
        {
            "kind": "Job",
            "apiVersion": "batch/v1",
            "metadata": {"name": JOB["metadata"]["name"], "namespace": NAMESPACE},
        },
    )

    with pytest.raises(errors.NameConflict):
        await writer.create_job(JOB)


async def test_a_foreign_pool_of_the_name_is_a_conflict_and_left_alone(
    writer: Writer, kube: FakeKubeApi
) -> None:
    foreign = kube.put(
        SERVICE,
        {
            "kind": "RayService",
            "apiVersion": "ray.io/v1",
            "metadata": {"name": POOL.name, "namespace": NAMESPACE},
        },
    )

    with pytest.raises(errors.NameConflict):
        await writer.pool(POOL, None)

    assert kube.objects[SERVICE] == foreign
