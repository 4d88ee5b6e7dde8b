"""Where requests for all models go, as far as it is known in one cluster."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from smallmodel_operator.api.base import seconds
from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import gateway_identity
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Scaling, SmallModel
from smallmodel_operator.handlers.placements import Placements
from smallmodel_operator.handlers.stores import HubStores, Unreadable
from smallmodel_operator.plan.gateway.cluster_values import NamespaceRoutes, Peer, RoutedModel
from smallmodel_operator.plan.gateway.leading import (
    Neighbour,
    elsewhere,
    leaving_pool,
    neighbours,
    serving_pool,
)
from smallmodel_operator.plan.gateway.snapshot import RouteKey
from smallmodel_operator.plan.gateway.values import Endpoint, GatewayModel, Unavailable
from smallmodel_operator.plan.pools.values import SERVE_PORT
from smallmodel_operator.status.state import find, state

Routes: TypeAlias = tuple[NamespaceRoutes, ...]


@dataclass(frozen=True, slots=True)
class _Made:
    """A route, and what it was made of."""

    model: SmallModel | Unreadable
    placement: ModelPlacement | None
    others: tuple[ModelPlacement, ...]
    routed: RoutedModel

    def is_of(
        self,
        model: SmallModel | Unreadable,
        placement: ModelPlacement | None,
        others: tuple[ModelPlacement, ...],
    ) -> bool:
        """Return whether it was made of these very objects."""
        return (
            self.model is model
            and self.placement is placement
            and list(map(id, self.others)) == list(map(id, others))
        )


@dataclass(slots=True)
class ModelRoutes:
    """Routes of all models as one cluster has them: most stay the same from pass to pass."""

    hub: HubStores
    placements: Placements
    """Those of the cluster."""
    leads_on_as: str | None = None
    """The cluster's name, where its gateway leads requests to those of other clusters."""
    _there: dict[str, Neighbour] = field(default_factory=dict)
    _made: dict[RouteKey, _Made] = field(default_factory=dict)

    def now(self, admitted: Callable[[str], tuple[str, ...]]) -> Routes:
        """Return where requests for all models go, by namespace.

        Args:
            admitted: Tells which addresses may ask a namespace's models.
        """
        others = self._elsewhere()
        before, self._made = self._made, {}
        models: dict[str, list[RoutedModel]] = {}
        for key in sorted(self.hub.models):
            model, placement = self.hub.models[key], self.placements.by_model.get(key)
            if not model.metadata.deletion_timestamp:
                there = tuple(others.get(key, ()))
                known = before.get(key)
                if known is None or not known.is_of(model, placement, there):
                    peers = elsewhere(there, self._there)
                    known = _Made(model, placement, there, route_of(model, placement, peers))
                self._made[key] = known
                models.setdefault(key[0], []).append(known.routed)
        return tuple(
            NamespaceRoutes(name=name, models=tuple(found), admitted=admitted(name))
            for name, found in sorted(models.items())
        )

    def identities(self) -> tuple[str, ...]:
        """Return the names in the certificates of gateways that may ask this one."""
        if self.leads_on_as is None:
            return ()
        names = sorted(self.hub.clusters.keys() - {self.leads_on_as})
        return tuple(gateway_identity(name, self.hub.hub_id) for name in names)

    def _elsewhere(self) -> dict[RouteKey, list[ModelPlacement]]:
        """Return the copies of each model on clusters whose gateways can be asked."""
        if self.leads_on_as is None:
            return {}
        there = neighbours(self.hub.clusters.values(), self.leads_on_as, self.hub.hub_id)
        if there != self._there:
            self._there = there
            self._made = {}
        found: dict[RouteKey, list[ModelPlacement]] = {}
        for name in sorted(there):
            for key, placement in self.hub.placements_on(name).by_model.items():
                found.setdefault(key, []).append(placement)
        return found


def route_of(
    model: SmallModel | Unreadable,
    placement: ModelPlacement | None,
    peers: tuple[Peer, ...] = (),
) -> RoutedModel:
    """Return where requests for the model go, or why it cannot be asked.

    Args:
        model: What the user asks for.
        placement: The copy here.
        peers: Gateways of other clusters where it answers.
    """
    timeout = seconds(_scaling(model, placement).request_timeout)
    name = model.metadata.name
    here = _front(serving_pool(placement), model.metadata.namespace)
    leaving = _front(leaving_pool(placement), model.metadata.namespace)
    if here is not None or peers:
        return RoutedModel(
            model=GatewayModel(name=name, request_timeout_seconds=timeout),
            upstream=here,
            elsewhere=() if here is not None else peers,
            leaving=leaving,
        )
    ready = find(model.status, ConditionType.READY)
    reason = Reason(ready.reason) if ready else Reason.PROGRESSING
    message = (
        f"{name} is not ready yet ({state(model.status)}, {reason}); "
        f"`kubectl -n {model.metadata.namespace} describe smallmodel {name}` tells why."
    )
    unavailable = Unavailable(reason=reason, message=message)
    return RoutedModel(
        model=GatewayModel(name=name, request_timeout_seconds=timeout, unavailable=unavailable),
        leaving=leaving,
    )


def _front(pool: str | None, namespace: str) -> Endpoint | None:
    """Return Serve's front of a pool."""
    if pool is None:
        return None
    return Endpoint(address=f"{pool}-serve-svc.{namespace}.svc", port=SERVE_PORT)


def _scaling(model: SmallModel | Unreadable, placement: ModelPlacement | None) -> Scaling:
    """Return what the user asks for; of a model that cannot be read, what was decided before."""
    if isinstance(model, SmallModel):
        return model.spec.scaling
    return placement.spec.scaling if placement is not None else Scaling()
