"""Which routes are written for models that answer in other clusters."""

import json
import re
from typing import Any, ClassVar

from builders.clusters import declared
from builders.fake_kube_api import FakeKubeApi
from builders.gateway_loop import MAP, Fixed
from builders.placements import HASH, POOL, placed_status
from builders.pool_values import placement_of
from smallmodel_operator.api.names import ANNOTATION_LEAVING_SINCE
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.handlers.gateway import CHANGED, LOOK
from smallmodel_operator.handlers.pods import PodSight
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.plan.gateway.config_map import entries_of, read_snapshot


def declared_with_gateway(hub: HubStores, *names: str) -> None:
    for name in names:
        address = {"address": f"https://{name}.example.com:8443"}
        hub.clusters[name] = declared(name, gateway=address)


def copy_on(hub: HubStores, cluster: str, **metadata: Any) -> None:
    """Have the model answer in a cluster."""
    made = placement_of(cluster=cluster, metadata=metadata or None)
    status = placed_status(verified_hash=HASH)
    copies = hub.placements_on(cluster).by_model
    copies["team-a", "chat"] = made.model_copy(update={"status": status})


def led_to(kube: FakeKubeApi) -> set[str]:
    """The upstreams of the written routes of clients."""
    config = read_snapshot(entries_of(kube.objects[MAP]))
    [clients] = [
        host
        for host in json.loads(config.routes.text)["resources"][0]["virtual_hosts"]
        if host["name"] == "namespaces"
    ]
    return set(re.findall(r'"cluster": "([^"]+)"', json.dumps(clients)))


class TestOtherClusters:
    pool: ClassVar = f"{POOL}-serve-svc_team-a_svc:8000"

    async def test_a_model_that_answers_elsewhere_is_led_there(
        self, api: Api, kube: FakeKubeApi
    ) -> None:
        fixed = Fixed(api)
        fixed.serve("chat")
        declared_with_gateway(fixed.hub, "local", "munich")
        copy_on(fixed.hub, "munich")

        await fixed.work()

        assert led_to(kube) == {"gateways:munich"}
        text = read_snapshot(entries_of(kube.objects[MAP])).routes.text
        assert "munich.hub-1.gateway.smallmodel.dev" in text, "it may ask, too"
        assert "local.hub-1.gateway.smallmodel.dev" not in text

    async def test_a_move_turns_the_route_when_the_hub_marks_the_copy_here(
        self, api: Api, kube: FakeKubeApi
    ) -> None:
        fixed = Fixed(api)
        fixed.serve("chat")
        declared_with_gateway(fixed.hub, "local", "munich")
        copy_on(fixed.hub, "local")
        copy_on(fixed.hub, "munich")
        await fixed.work()
        assert led_to(kube) == {self.pool}

        copy_on(fixed.hub, "local", annotations={ANNOTATION_LEAVING_SINCE: "2026-11-29T12:00:00Z"})
        await fixed.work()
        assert led_to(kube) == {"gateways:munich"}
        text = read_snapshot(entries_of(kube.objects[MAP])).routes.text
        assert self.pool in text, "other gateways are answered out of it"

        copy_on(fixed.hub, "local", deletion_timestamp="2026-11-29T12:00:30Z")
        await fixed.work()
        assert led_to(kube) == {"gateways:munich"}
        assert self.pool not in read_snapshot(entries_of(kube.objects[MAP])).routes.text

    async def test_a_copy_that_is_to_go_stays_where_nothing_else_can_be_asked(
        self, api: Api, kube: FakeKubeApi
    ) -> None:
        fixed = Fixed(api)
        fixed.serve("chat")
        fixed.hub.clusters["munich"] = declared("munich")
        copy_on(fixed.hub, "local", annotations={ANNOTATION_LEAVING_SINCE: "2026-11-29T12:00:00Z"})
        copy_on(fixed.hub, "munich")

        await fixed.work()

        assert led_to(kube) == {self.pool}

    async def test_a_cluster_without_a_gateway_is_named(self, api: Api, kube: FakeKubeApi) -> None:
        fixed = Fixed(api)
        fixed.serve("chat")
        fixed.hub.clusters["munich"] = declared("munich")
        copy_on(fixed.hub, "munich")

        await fixed.work()

        text = read_snapshot(entries_of(kube.objects[MAP])).routes.text
        assert "GatewayUnreachable" in text
        assert "chat is served in munich, whose ModelCluster has no spec.gateway" in text

    async def test_another_address_of_a_gateway_is_another_route(
        self, api: Api, kube: FakeKubeApi
    ) -> None:
        fixed = Fixed(api)
        fixed.serve("chat")
        declared_with_gateway(fixed.hub, "munich")
        copy_on(fixed.hub, "munich")
        await fixed.work()
        fixed.hub.clusters["munich"] = declared("munich", gateway={"address": "https://new:443"})
        await fixed.work()

        text = read_snapshot(entries_of(kube.objects[MAP])).clusters.text
        assert '"address":"new"' in text

    async def test_in_a_member_only_pods_of_namespaces_that_take_models_are_admitted(
        self, api: Api, kube: FakeKubeApi
    ) -> None:
        fixed = Fixed(api, name="munich", allow_from=("web",))
        fixed.serve("chat")
        copy_on(fixed.hub, "munich")
        for number, namespace in enumerate(("team-a", "web"), start=1):
            fixed.stores.pods[namespace, "p"] = PodSight(
                namespace=namespace,
                name="p",
                address=f"10.0.0.{number}",
                job=None,
                last_words=None,
                running=True,
            )
        await fixed.work()
        text = read_snapshot(entries_of(kube.objects[MAP])).routes.text
        assert "10.0.0.1" not in text
        assert "10.0.0.2" not in text

        fixed.stores.accepting.add("team-a")
        await fixed.work()
        text = read_snapshot(entries_of(kube.objects[MAP])).routes.text
        assert "10.0.0.1" in text
        assert "10.0.0.2" not in text

    async def test_where_nothing_changed_a_member_is_not_asked(
        self, api: Api, kube: FakeKubeApi
    ) -> None:
        fixed = Fixed(api, name="munich")
        fixed.serve("chat")
        copy_on(fixed.hub, "munich")
        await fixed.loop.work(CHANGED)
        calls = len(kube.seen)

        await fixed.loop.work(CHANGED)
        assert len(kube.seen) == calls
        await fixed.loop.work(LOOK)
        assert len(kube.seen) == calls + 1
