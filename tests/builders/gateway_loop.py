"""A gateway loop over stores that a test fills."""

from typing import Any

from builders.yaml_objects import small_model
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.events import Events
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.gateway import GatewayLoop
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.plan.gateway.cluster_values import ClusterGatewaySettings

NAMESPACE = "smallmodel-system"
MAP = f"/api/v1/namespaces/{NAMESPACE}/configmaps/smallmodel-gateway"


def model(name: str = "chat", **changes: Any) -> SmallModel:
    """A SmallModel of team-a."""
    read = SmallModel.model_validate(small_model(name))
    metadata = ObjectMeta(name=name, namespace="team-a", **changes)
    return read.model_copy(update={"metadata": metadata})


class Fixed:
    """A loop over stores that a test fills."""

    def __init__(
        self,
        api: Api,
        *,
        allow_from: tuple[str, ...] = (),
        read: bool = True,
        name: str = "local",
    ) -> None:
        self.hub = HubStores(hub_id="hub-1")
        self.stores = ClusterStores(placements=self.hub.placements_on(name))
        self.read = read
        self.loop = GatewayLoop(
            api=api,
            hub=self.hub,
            stores=self.stores,
            events=Events(api, "operator-0"),
            namespace=NAMESPACE,
            settings=ClusterGatewaySettings(),
            allow_from=allow_from,
            all_pools_read=lambda: self.read,
            name=name,
        )

    def serve(self, *names: str) -> None:
        """Have models."""
        for name in names:
            self.hub.models["team-a", name] = model(name)

    async def work(self) -> float | None:
        """Do one pass."""
        return await self.loop.work("gateway")
