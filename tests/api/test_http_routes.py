"""HTTPRoutes on a real API server with the Gateway API's own definition."""

from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
import yaml

from builders.placements import placed_status
from builders.pool_values import placement_of
from builders.yaml_objects import small_model
from cluster.access import KubeAccess
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import HTTPROUTES
from smallmodel_operator.handlers import http_routes
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.http_routes import MISSING, HttpRouteLoop
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.plan.gateway.http_route import GATEWAY_API_TRIED, ParentGateway

pytestmark = pytest.mark.api

RECORDED: Final = Path(__file__).parents[1] / "contract" / "recorded"
DEFINITION: Final = RECORDED / f"gateway-api-{GATEWAY_API_TRIED}-httproute.json"
PARENT: Final = ParentGateway(
    name="public", namespace="gateways", section="https", hostnames=("models.example.com",)
)


class Served:
    """A loop for one namespace, and the models in it."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.namespace = namespace
        self.hub = HubStores(hub_id=f"hub-{uuid4().hex[:8]}")
        self.stores = ClusterStores(placements=self.hub.placements_on("local"))
        self.loop = HttpRouteLoop(
            api=api,
            hub=self.hub,
            stores=self.stores,
            parent=PARENT,
            watched=(namespace,),
            all_pools_read=lambda: True,
        )

    def add(self, *names: str) -> None:
        """Have a pool serve models of these names."""
        for name in names:
            manifest = small_model(name)
            manifest["metadata"]["namespace"] = self.namespace
            self.hub.models[self.namespace, name] = SmallModel.model_validate(manifest)
            placement = placement_of(name, namespace=self.namespace)
            self.stores.placements.by_model[self.namespace, name] = placement.model_copy(
                update={"status": placed_status()}
            )

    def remove(self, name: str) -> None:
        """Have a model be deleted."""
        del self.hub.models[self.namespace, name]
        self.loop.note_deleted((self.namespace, name))

    async def routes(self, api: Api) -> dict[str, dict[str, Any]]:
        """Return what there is, by name."""
        found, _ = await api.list(HTTPROUTES, self.namespace)
        return {one["metadata"]["name"]: one for one in found}


@pytest.fixture
async def served(api: Api, namespace: str, control_plane: KubeAccess) -> Served:
    """A namespace on an API server that has the kind."""
    control_plane.kubectl("apply", "--server-side", "-f", str(DEFINITION))
    control_plane.wait_served(HTTPROUTES.full_name)
    return Served(api, namespace)


async def test_models_wait_for_the_gateway_api_and_go_on_by_themselves(
    api: Api, namespace: str, control_plane: KubeAccess
) -> None:
    one = Served(api, namespace)
    one.add("chat")
    # A cluster that is kept from run to run has the kind already.
    if HTTPROUTES.api_version not in control_plane.kubectl("api-versions").split():
        assert await one.loop.work("gateway") == 10.0
        assert one.loop.problem == MISSING
    control_plane.kubectl("apply", "--server-side", "-f", str(DEFINITION))
    control_plane.wait_served(HTTPROUTES.full_name)
    await one.loop.work("gateway")

    assert one.loop.problem is None
    assert list(await one.routes(api)) == ["smallmodel-0"]


async def test_the_api_server_takes_the_routes_and_they_do_not_drift(
    api: Api, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.add(*(f"m{number:02}" for number in range(17)))
    await served.loop.work("gateway")
    first = await served.routes(api)
    assert [len(route["spec"]["rules"]) for route in first.values()] == [16, 1]
    assert first["smallmodel-1"]["spec"]["hostnames"] == ["models.example.com"]

    monkeypatch.setattr(http_routes, "_CHECK_SECONDS", 0.0)
    await served.loop.work("gateway")
    assert await served.routes(api) == first


async def test_a_route_is_put_right_and_goes_with_its_models(
    api: Api, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_routes, "_CHECK_SECONDS", 0.0)
    served.add("chat", "embed")
    await served.loop.work("gateway")
    ref = HTTPROUTES.ref("smallmodel-0", served.namespace)
    await api.merge_patch(ref, {"spec": {"hostnames": ["elsewhere.example.com"]}})
    await served.loop.work("gateway")
    assert (await served.routes(api))["smallmodel-0"]["spec"]["hostnames"] == list(PARENT.hostnames)

    served.remove("chat")
    await served.loop.work("gateway")
    assert len((await served.routes(api))["smallmodel-0"]["spec"]["rules"]) == 1
    served.remove("embed")
    await served.loop.work("gateway")
    assert await served.routes(api) == {}


async def test_somebody_elses_route_of_the_same_name_is_left_alone(
    api: Api, served: Served, control_plane: KubeAccess
) -> None:
    theirs = {
        "apiVersion": HTTPROUTES.api_version,
        "kind": HTTPROUTES.kind,
        "metadata": {"name": "smallmodel-0", "namespace": served.namespace},
        "spec": {"parentRefs": [{"name": "theirs"}]},
    }
    control_plane.apply(yaml.safe_dump(theirs))
    served.add("chat")
    with pytest.raises(errors.NameConflict):
        await served.loop.work("gateway")
    parents = (await served.routes(api))["smallmodel-0"]["spec"]["parentRefs"]
    assert [parent["name"] for parent in parents] == ["theirs"]
