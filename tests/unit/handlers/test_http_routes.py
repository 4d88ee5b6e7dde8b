"""When the HTTPRoutes of somebody's Gateway are written, and when they are left alone."""

from typing import Any, Final

import pytest

from builders.fake_kube_api import FakeKubeApi, failure, refuse
from builders.placements import POOL, placed_status
from builders.pool_values import placement_of
from builders.yaml_objects import small_model
from smallmodel_operator.api.names import LABEL_HUB
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import HTTPROUTES
from smallmodel_operator.handlers import http_routes
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.http_routes import MISSING, HttpRouteLoop
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.plan.gateway.http_route import ParentGateway

ROUTES: Final = "/apis/gateway.networking.k8s.io/v1/namespaces/team-a/httproutes"
FIRST: Final = f"{ROUTES}/smallmodel-0"
HUB: Final = "hub-1"


class Fixed:
    """A loop over stores that a test fills."""

    def __init__(self, api: Api, *, read: bool = True, watched: tuple[str, ...] = ()) -> None:
        self.hub = HubStores(hub_id=HUB)
        self.stores = ClusterStores(placements=self.hub.placements_on("local"))
        self.read = read
        self.loop = HttpRouteLoop(
            api=api,
            hub=self.hub,
            stores=self.stores,
            parent=ParentGateway(name="public", namespace="gateways"),
            watched=watched,
            all_pools_read=lambda: self.read,
        )

    def serve(self, *names: str) -> None:
        """Have models be asked for, all of them in one pool."""
        for name in names:
            manifest = small_model(name)
            manifest["metadata"]["namespace"] = "team-a"
            self.hub.models["team-a", name] = SmallModel.model_validate(manifest)
            placement = placement_of().model_copy(update={"status": placed_status()})
            self.stores.placements.by_model["team-a", name] = placement

    async def work(self) -> float | None:
        return await self.loop.work("gateway")


def writes(kube: FakeKubeApi) -> list[str]:
    return [f"{one.method} {one.path}" for one in kube.seen if one.method != "GET"]


def led_to(route: dict[str, Any]) -> list[str]:
    return [rule["matches"][0]["path"]["value"] for rule in route["spec"]["rules"]]


async def test_each_model_gets_a_path_to_its_pool(api: Api, kube: FakeKubeApi) -> None:
    fixed = Fixed(api)
    fixed.serve("chat", "embed")

    await fixed.work()

    route = kube.objects[FIRST]
    assert led_to(route) == ["/team-a/chat/v1", "/team-a/embed/v1"]
    assert route["metadata"]["labels"][LABEL_HUB] == HUB
    backend = route["spec"]["rules"][0]["backendRefs"][0]
    assert backend == {"name": f"{POOL}-serve-svc", "port": 8000}


async def test_nothing_is_asked_of_the_api_server_where_nothing_changed(
    api: Api, kube: FakeKubeApi
) -> None:
    fixed = Fixed(api)
    fixed.serve("chat")
    await fixed.work()
    before = len(kube.seen)

    assert await fixed.work() == 60.0
    assert len(kube.seen) == before


async def test_a_changed_route_is_put_right_and_an_unchanged_one_is_not_written(
    api: Api, kube: FakeKubeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = Fixed(api)
    fixed.serve("chat")
    await fixed.work()
    monkeypatch.setattr(http_routes, "_CHECK_SECONDS", 0.0)
    before = writes(kube)
    await fixed.work()
    assert writes(kube) == before

    kube.objects[FIRST]["spec"]["parentRefs"] = []
    await fixed.work()
    assert writes(kube) == [*before, f"PATCH {FIRST}"]
    assert kube.objects[FIRST]["spec"]["parentRefs"][0]["name"] == "public"


async def test_the_route_goes_with_its_last_model(api: Api, kube: FakeKubeApi) -> None:
    fixed = Fixed(api)
    fixed.serve("chat")
    await fixed.work()

    del fixed.hub.models["team-a", "chat"]
    fixed.loop.note_deleted(("team-a", "chat"))
    await fixed.work()
    assert FIRST not in kube.objects


async def test_a_route_that_a_predecessor_wrote_stays_until_its_models_were_seen_to_go(
    api: Api, kube: FakeKubeApi
) -> None:
    predecessor = Fixed(api)
    predecessor.serve("chat")
    await predecessor.work()

    fixed = Fixed(api)
    assert await fixed.work() == 5.0
    assert fixed.loop.withheld is not None
    assert fixed.loop.withheld.reason == "SnapshotShrunk"
    assert led_to(kube.objects[FIRST]) == ["/team-a/chat/v1"]

    fixed.loop.note_deleted(("team-a", "chat"))
    await fixed.work()
    assert fixed.loop.withheld is None
    assert FIRST not in kube.objects


async def test_nothing_is_written_before_every_pool_was_read(api: Api, kube: FakeKubeApi) -> None:
    fixed = Fixed(api, read=False)
    fixed.serve("chat")

    assert await fixed.work() == 5.0
    assert writes(kube) == []


async def test_without_the_gateway_api_it_waits_and_tells_what_to_install(
    api: Api, kube: FakeKubeApi
) -> None:
    fixed = Fixed(api)
    fixed.serve("chat")

    def not_served(_: Any) -> Any:
        return failure(404, "NotFound", "the server could not find the requested resource")

    kube.replies = [not_served]
    assert await fixed.work() == 10.0
    assert fixed.loop.problem == MISSING
    assert "standard-install.yaml" in MISSING

    await fixed.work()
    assert fixed.loop.problem is None
    assert FIRST in kube.objects


async def test_a_route_of_somebody_else_is_left_alone_and_holds_up_no_other(
    api: Api, kube: FakeKubeApi
) -> None:
    fixed = Fixed(api)
    fixed.serve(*(f"m{number:02}" for number in range(17)))
    theirs = {
        "apiVersion": HTTPROUTES.api_version,
        "kind": "HTTPRoute",
        "metadata": {"name": "smallmodel-0", "namespace": "team-a"},
    }
    kube.put(FIRST, theirs)

    with pytest.raises(errors.NameConflict):
        await fixed.work()
    assert "spec" not in kube.objects[FIRST]
    assert led_to(kube.objects[f"{ROUTES}/smallmodel-1"]) == ["/team-a/m16/v1"]


async def test_routes_that_were_refused_are_written_at_the_next_pass(
    api: Api, kube: FakeKubeApi
) -> None:
    fixed = Fixed(api)
    fixed.serve("chat")
    kube.replies = [None, None, refuse(403, "Forbidden", "no")]
    with pytest.raises(errors.Forbidden):
        await fixed.work()

    await fixed.work()
    assert FIRST in kube.objects


async def test_a_namespace_that_ends_gets_no_new_route(api: Api, kube: FakeKubeApi) -> None:
    fixed = Fixed(api)
    fixed.serve("chat")
    fixed.stores.ending.add("team-a")

    await fixed.work()
    assert writes(kube) == []


async def test_only_watched_namespaces_are_listed(api: Api, kube: FakeKubeApi) -> None:
    fixed = Fixed(api, watched=("team-a", "team-b"))
    await fixed.work()
    listed = {one.path for one in kube.seen}
    assert listed == {ROUTES, ROUTES.replace("team-a", "team-b")}
