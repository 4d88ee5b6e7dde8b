"""Where requests for a model go, and when the gateway's ConfigMap is written."""

import asyncio
import contextlib
import threading
from typing import Any

import pytest

from builders.fake_kube_api import FakeKubeApi, refuse
from builders.gateway_loop import MAP, Fixed, model
from builders.placements import LATER_POOL, POOL, deployment, placed_status, quarantine
from builders.pool_values import placement_of
from smallmodel_operator.api.meta import Condition, ObjectMeta
from smallmodel_operator.api.modelplacement import ModelPlacement, ModelPlacementStatus
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Scaling, SmallModelStatus
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.handlers.pods import PodSight
from smallmodel_operator.handlers.routes import Routes, route_of
from smallmodel_operator.handlers.stores import Unreadable
from smallmodel_operator.plan.gateway.cluster import build_cluster_gateway
from smallmodel_operator.plan.gateway.cluster_values import ClusterGatewaySettings
from smallmodel_operator.plan.gateway.config_map import SnapshotTooLarge
from smallmodel_operator.plan.gateway.leading import serving_pool
from smallmodel_operator.plan.gateway.values import GatewayConfig
from smallmodel_operator.plan.pools.values import Manifest


def placed(status: ModelPlacementStatus | None = None, **metadata: Any) -> ModelPlacement:
    made = placement_of(metadata=metadata or None)
    return made.model_copy(update={"status": status or placed_status()})


WHERE: dict[str, tuple[ModelPlacement | None, str | None]] = {
    "nothing is placed": (None, None),
    "nothing is known of it yet": (placed(ModelPlacementStatus()), None),
    "it has a pool, and Serve does not have it": (placed(placed_status(deployment=None)), None),
    "Serve has it": (placed(), POOL),
    "it is parked": (placed(placed_status(deployment=deployment(replicas=0))), POOL),
    "it starts again": (
        placed(placed_status(deployment=deployment(healthy=False), verified_hash="a")),
        POOL,
    ),
    "it starts for the first time, and not all pods know it": (
        placed(placed_status(deployment=deployment(healthy=False), verified_hash=None)),
        None,
    ),
    "it runs for the first time": (placed(placed_status(verified_hash=None)), POOL),
    "it moves": (placed(placed_status(moving_to=LATER_POOL)), POOL),
    "it is in quarantine and gone": (
        placed(placed_status(quarantine=quarantine(), deployment=None)),
        None,
    ),
    "its next revision is in quarantine": (placed(placed_status(quarantine=quarantine())), POOL),
    "it is being deleted": (placed(deletion_timestamp="2026-11-24T12:00:00Z"), None),
}


@pytest.mark.parametrize("case", WHERE)
def test_requests_go_to_the_pool_whose_serve_has_the_model(case: str) -> None:
    placement, pool = WHERE[case]

    assert serving_pool(placement) == pool
    routed = route_of(model(), placement)
    if pool is None:
        assert routed.upstream is None
        assert routed.model.unavailable is not None
        return
    assert routed.upstream is not None
    assert routed.upstream.address == f"{pool}-serve-svc.team-a.svc"
    assert routed.model.unavailable is None


def test_why_a_model_cannot_be_asked_is_what_its_ready_condition_says() -> None:
    ready = Condition(
        type="Ready",
        status="False",
        last_transition_time="2026-11-24T12:00:00Z",
        reason=Reason.LOAD_FAILED,
    )
    failed = model().model_copy(update={"status": SmallModelStatus(conditions=(ready,))})

    unavailable = route_of(failed, None).model.unavailable

    assert unavailable is not None
    assert unavailable.reason is Reason.LOAD_FAILED
    assert "kubectl -n team-a describe smallmodel chat" in unavailable.message


def unreadable() -> Unreadable:
    return Unreadable(
        metadata=ObjectMeta(name="chat", namespace="team-a"),
        status=SmallModelStatus(),
        message="spec: no",
    )


def test_a_model_whose_manifest_became_unreadable_is_still_asked_where_it_runs() -> None:
    scaling = Scaling.model_validate({"requestTimeout": "9m"})
    placement = placement_of(scaling=scaling).model_copy(update={"status": placed_status()})

    routed = route_of(unreadable(), placement)

    assert routed.upstream is not None
    assert routed.model.request_timeout_seconds == 540
    assert route_of(unreadable(), None).model.request_timeout_seconds == 300


def writes(kube: FakeKubeApi) -> int:
    return sum(one.method == "PATCH" and one.path == MAP for one in kube.seen)


def told(kube: FakeKubeApi) -> list[str]:
    return [one.body["reason"] for one in kube.seen if one.path.endswith("/events")]


async def test_nothing_is_written_before_every_pool_was_read(api: Api, kube: FakeKubeApi) -> None:
    fixed = Fixed(api, read=False)
    fixed.serve("chat")

    assert await fixed.work() == 5.0
    assert writes(kube) == 0
    assert fixed.loop.withheld is not None
    fixed.read = True
    assert await fixed.work() is None
    assert writes(kube) == 1
    assert fixed.loop.withheld is None


async def test_what_is_written_already_is_not_written_again(api: Api, kube: FakeKubeApi) -> None:
    fixed = Fixed(api)
    fixed.serve("chat")
    await fixed.work()
    await fixed.work()
    assert writes(kube) == 1

    kube.objects[MAP]["data"] = {"edited": "by hand"}
    kube.objects[MAP]["binaryData"] = {}
    kube.objects[MAP]["metadata"]["resourceVersion"] = "edited"
    await fixed.work()
    assert writes(kube) == 2


async def test_routes_that_are_written_are_not_built_again(
    api: Api, kube: FakeKubeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = Fixed(api)
    fixed.serve("chat")
    await fixed.work()
    built = list[str]()

    def counted(
        namespaces: Routes, settings: ClusterGatewaySettings, identities: tuple[str, ...]
    ) -> GatewayConfig:
        built.extend(each.name for each in namespaces)
        return build_cluster_gateway(namespaces, settings, identities)

    monkeypatch.setattr("smallmodel_operator.handlers.gateway.build_cluster_gateway", counted)

    await fixed.work()
    assert built == []

    fixed.serve("more")
    await fixed.work()
    assert built == ["team-a"]


async def test_routes_that_nobody_deleted_are_not_taken_away(api: Api, kube: FakeKubeApi) -> None:
    fixed = Fixed(api)
    fixed.serve("a", "b", "c")
    await fixed.work()
    fixed.hub.models.clear()

    assert await fixed.work() == 5.0
    assert await fixed.work() == 5.0
    assert writes(kube) == 1
    assert told(kube) == ["SnapshotShrunk"]

    for name in "abc":
        fixed.loop.note_deleted(("team-a", name))
    assert await fixed.work() is None
    assert writes(kube) == 2


async def test_an_operator_that_starts_knows_what_its_predecessor_had_written(
    api: Api, kube: FakeKubeApi
) -> None:
    first = Fixed(api)
    first.serve("a", "b")
    await first.work()

    assert await Fixed(api).work() == 5.0
    kube.objects[MAP]["binaryData"] = {"routes.json": "no base64"}
    assert await Fixed(api).work() is None, "what cannot be read keeps nobody from writing"


async def test_one_that_starts_while_a_model_is_being_deleted_need_not_have_seen_it_begin(
    api: Api, kube: FakeKubeApi
) -> None:
    first = Fixed(api)
    first.serve("a", "b")
    await first.work()

    second = Fixed(api)
    second.serve("a")
    second.hub.models["team-a", "b"] = model("b", deletion_timestamp="2026-11-24T12:00:00Z")
    assert await second.work() is None
    assert second.loop.withheld is None


async def test_a_deletion_explains_one_loss_and_not_a_later_one(
    api: Api, kube: FakeKubeApi
) -> None:
    fixed = Fixed(api)
    fixed.serve("a")
    await fixed.work()
    fixed.loop.note_deleted(("team-a", "a"))
    fixed.hub.models.clear()
    await fixed.work()
    fixed.serve("a")
    await fixed.work()
    fixed.hub.models.clear()

    assert await fixed.work() == 5.0


async def test_routes_that_are_too_many_for_a_config_map_do_not_become_the_last_good_ones(
    api: Api, kube: FakeKubeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = Fixed(api)
    fixed.serve("a")
    await fixed.work()
    fixed.serve("b", "c")

    def too_large(*_: object) -> Manifest:
        raise SnapshotTooLarge("too large")

    with monkeypatch.context() as patched:
        patched.setattr("smallmodel_operator.handlers.gateway.gateway_config_map", too_large)
        await fixed.work()
    assert fixed.loop.withheld is not None
    assert told(kube) == ["SnapshotTooLarge"]

    for name in "bc":
        del fixed.hub.models["team-a", name]
    assert await fixed.work() is None, "what never was written cannot be lost"
    assert fixed.loop.withheld is None


async def test_a_model_that_is_being_deleted_has_no_route(api: Api, kube: FakeKubeApi) -> None:
    fixed = Fixed(api)
    fixed.serve("a")
    await fixed.work()
    before = kube.objects[MAP]["binaryData"]
    going = model("a", deletion_timestamp="2026-11-24T12:00:00Z")
    fixed.hub.models["team-a", "a"] = going
    fixed.loop.note_deleted(("team-a", "a"))

    await fixed.work()

    assert kube.objects[MAP]["binaryData"] != before


@pytest.mark.parametrize(("allow_from", "same"), [((), False), (("other",), False), (("*",), True)])
async def test_a_pods_address_matters_where_not_everybody_may_ask(
    api: Api, kube: FakeKubeApi, allow_from: tuple[str, ...], same: bool
) -> None:
    fixed = Fixed(api, allow_from=allow_from)
    fixed.serve("a")
    await fixed.work()
    before = kube.objects[MAP]["binaryData"]

    fixed.stores.pods["team-a", "p"] = PodSight(
        namespace="team-a",
        name="p",
        address="10.0.0.7",
        job=None,
        last_words=None,
        running=True,
    )
    await fixed.work()

    assert (kube.objects[MAP]["binaryData"] == before) is same


async def test_an_api_server_that_fails_is_for_the_queue_to_try_again(
    api: Api, kube: FakeKubeApi
) -> None:
    fixed = Fixed(api)
    fixed.serve("a")
    kube.replies = [refuse(403, "Forbidden")] * 9
    with pytest.raises(errors.ApiError):
        await fixed.work()


async def test_the_gateways_of_many_clusters_are_built_one_at_a_time(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = threading.Barrier(2)
    together: list[str] = []

    def build(*given: Any) -> GatewayConfig:
        with contextlib.suppress(threading.BrokenBarrierError):
            met.wait(0.5)
            together.append("two at once")
        return build_cluster_gateway(*given)

    monkeypatch.setattr("smallmodel_operator.handlers.gateway.build_cluster_gateway", build)
    gateways = [Fixed(api, name=name) for name in ("local", "edge")]
    for one in gateways:
        one.serve("chat")

    await asyncio.gather(*(one.work() for one in gateways))

    assert together == []
    assert all(one.loop.withheld is None for one in gateways)
