"""Where requests for all models go, as far as it is known in one cluster."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from smallmodel_operator.api.base import seconds
from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import LOCAL_CLUSTER, gateway_identity
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Scaling, SmallModel, SmallModelStatus
from smallmodel_operator.handlers.placements import Placements
from smallmodel_operator.handlers.stores import HubStores, Unreadable
from smallmodel_operator.plan.gateway.cluster_values import NamespaceRoutes, RoutedModel
from smallmodel_operator.plan.gateway.leading import (
    NOWHERE_ELSE,
    Away,
    Copy,
    Neighbour,
    answering,
    is_leaving,
    led_away,
    neighbours,
    serving_pool,
)
from smallmodel_operator.plan.gateway.snapshot import RouteKey
from smallmodel_operator.plan.gateway.told import ToldModel, told_neighbours
from smallmodel_operator.plan.gateway.values import Endpoint, GatewayModel, Unavailable
from smallmodel_operator.plan.pools.values import SERVE_PORT
from smallmodel_operator.status.state import find, state

Routes: TypeAlias = tuple[NamespaceRoutes, ...]


@dataclass(frozen=True, slots=True)
class _Made:
    """A route, and the objects that it was made of."""

    of: tuple[object, ...]
    routed: RoutedModel

    def is_of(self, objects: tuple[object, ...]) -> bool:
        """Return whether it was made of these very objects."""
        return list(map(id, self.of)) == list(map(id, objects))


@dataclass(slots=True)
class Led:
    """By what gateways of other clusters led requests last, of each model.

    Of what is written of a model, most changes nothing there; and to look at each model for the
    gateway of each cluster takes long where both are many.
    """

    hub: HubStores
    _by: dict[RouteKey, tuple[object, ...]] = field(default_factory=dict)

    def changed(self, key: RouteKey) -> bool:
        """Return whether a model is led by something else now, and remember that."""
        before, now = self._by.pop(key, None), self._facts(key)
        if now is not None:
            self._by[key] = now
        return before != now

    def _facts(self, key: RouteKey) -> tuple[object, ...] | None:
        model, copies = self.hub.models.get(key), self.hub.placements_of(key)
        if model is None and not copies:
            return None
        asked = route_of(model, None) if model is not None else None
        deleted = model is not None and model.metadata.deletion_timestamp
        return (asked, deleted, *map(_led_by, copies))


def _led_by(copy: ModelPlacement) -> tuple[object, ...]:
    going = copy.metadata.deletion_timestamp, is_leaving(copy)
    return copy.spec.cluster, copy.spec.scaling.request_timeout, answering(copy), *going


@dataclass(slots=True)
class ModelRoutes:
    """Routes of all models as one cluster has them: most stay the same from pass to pass."""

    hub: HubStores
    placements: Placements
    """Those of the cluster."""
    leads_on_as: str | None = None
    """The cluster's name, where its gateway leads requests to those of other clusters."""
    of_placements: bool = False
    """Nobody knows the models here, as with an agent: their placements stand for them, and what
    the hub told of those that are elsewhere."""
    _standing: dict[RouteKey, tuple[ModelPlacement | ToldModel, Unreadable]] = field(
        default_factory=dict
    )
    _there: dict[str, Neighbour] = field(default_factory=dict)
    _made: dict[RouteKey, _Made] = field(default_factory=dict)

    def now(self, admitted: Callable[[str], tuple[str, ...]]) -> Routes:
        """Return where requests for all models go, by namespace.

        Args:
            admitted: Tells which addresses may ask a namespace's models.
        """
        others, decided = self._elsewhere(), self._decided()
        before, self._made = self._made, {}
        models: dict[str, list[RoutedModel]] = {}
        asked = self._asked()
        for key in sorted(asked):
            model, placement = asked[key], self.placements.by_model.get(key)
            if not model.metadata.deletion_timestamp:
                there = others.get(key, ())
                of = (model, placement, decided.get(key), *there)
                known = before.get(key)
                if known is None or not known.is_of(of):
                    leaves = is_leaving(decided.get(key))
                    away = led_away(_copies(there), self._there, leaves=leaves)
                    known = _Made(of, route_of(model, placement, away))
                self._made[key] = known
                models.setdefault(key[0], []).append(known.routed)
        return tuple(
            NamespaceRoutes(name=name, models=tuple(found), admitted=admitted(name))
            for name, found in sorted(models.items())
        )

    def going(self) -> frozenset[RouteKey]:
        """Return the models that are being deleted."""
        asked = self._asked().items()
        return frozenset(key for key, model in asked if model.metadata.deletion_timestamp)

    def identities(self) -> tuple[str, ...]:
        """Return the names in the certificates of gateways that may ask this one."""
        if self.leads_on_as is None:
            return ()
        told = self.hub.told
        known = self.hub.clusters.keys() if told is None else {one.name for one in told.clusters}
        names = sorted(known - {self.leads_on_as})
        return tuple(gateway_identity(name, self.hub.hub_id) for name in names)

    def _asked(self) -> Mapping[RouteKey, SmallModel | Unreadable]:
        """Return the models that may be asked here."""
        if self.of_placements:
            return self._placed()
        if self.leads_on_as in {None, LOCAL_CLUSTER}:
            return self.hub.models
        # A hub from an old backup lacks models that are served on here, and asked for.
        return {**self._placed(), **self.hub.models}

    def _placed(self) -> Mapping[RouteKey, SmallModel | Unreadable]:
        """Return what stands for the models; the same objects for the same facts."""
        told = self.hub.told.models if self.hub.told is not None else ()
        facts: dict[RouteKey, ModelPlacement | ToldModel] = {one.key: one for one in told}
        for key, placement in self.placements.by_model.items():
            # What goes from here may stay elsewhere.
            if key not in facts or not placement.metadata.deletion_timestamp:
                facts[key] = placement
        before, self._standing = self._standing, {}
        for key, fact in facts.items():
            known = before.get(key)
            if known is None or known[0] is not fact:
                known = fact, _standing_for(fact)
            self._standing[key] = known
        return {key: model for key, (_, model) in self._standing.items()}

    def _decided(self) -> Mapping[RouteKey, ModelPlacement]:
        """Return what the hub says of the copies here, which a mirror follows later."""
        if self.leads_on_as is None:
            return {}
        return self.hub.placements_on(self.leads_on_as).by_model

    def _elsewhere(self) -> Mapping[RouteKey, Sequence[ModelPlacement | ToldModel]]:
        """Return what is known of the copies of each model on other clusters."""
        if self.leads_on_as is None:
            return {}
        there = self._neighbours(self.leads_on_as)
        if there != self._there:
            self._there = there
            self._made = {}
        if self.hub.told is not None:
            return {model.key: (model,) for model in self.hub.told.models}
        found: dict[RouteKey, list[ModelPlacement]] = {}
        for name in sorted(there):
            for key, placement in self.hub.placements_on(name).by_model.items():
                found.setdefault(key, []).append(placement)
        return found

    def _neighbours(self, own: str) -> dict[str, Neighbour]:
        """Return the other clusters, by name."""
        if self.hub.told is not None:
            return told_neighbours(self.hub.told, own, self.hub.hub_id)
        return neighbours(self.hub.clusters.values(), own, self.hub.hub_id)


def _copies(facts: Sequence[ModelPlacement | ToldModel]) -> list[Copy]:
    found: list[Copy] = []
    for fact in facts:
        if isinstance(fact, ToldModel):
            found.extend(fact.copies)
        elif (copy := answering(fact)) is not None:
            found.append(copy)
    return found


def _standing_for(fact: ModelPlacement | ToldModel) -> Unreadable:
    if isinstance(fact, ToldModel):
        return Unreadable(
            metadata=ObjectMeta(name=fact.name, namespace=fact.namespace),
            status=SmallModelStatus(),
            message="",
            scaling=Scaling(request_timeout=fact.request_timeout),
        )
    model, metadata = fact.spec.model, fact.metadata
    return Unreadable(
        metadata=ObjectMeta(
            name=model.name,
            namespace=model.namespace,
            deletion_timestamp=metadata.deletion_timestamp,
        ),
        status=SmallModelStatus(conditions=fact.status.conditions),
        message="",
    )


def route_of(
    model: SmallModel | Unreadable,
    placement: ModelPlacement | None,
    away: Away = NOWHERE_ELSE,
) -> RoutedModel:
    """Return where requests for the model go, or why it cannot be asked.

    Args:
        model: What the user asks for.
        placement: The copy here.
        away: Where else it answers.
    """
    timeout = seconds(_scaling(model, placement).request_timeout)
    name = model.metadata.name
    asked = GatewayModel(name=name, request_timeout_seconds=timeout)
    here = _front(serving_pool(placement), model.metadata.namespace)
    if away.peers and (here is None or away.leaves):
        return RoutedModel(model=asked, elsewhere=away.peers, leaving=here)
    if here is not None:
        return RoutedModel(model=asked, upstream=here)
    unavailable = _why_not(model, away)
    return RoutedModel(
        model=GatewayModel(name=name, request_timeout_seconds=timeout, unavailable=unavailable)
    )


def _why_not(model: SmallModel | Unreadable, away: Away) -> Unavailable:
    name = model.metadata.name
    if away.unreachable:
        clusters = ", ".join(away.unreachable)
        return Unavailable(
            reason=Reason.GATEWAY_UNREACHABLE,
            message=f"{name} is served in {clusters}, whose ModelCluster has no spec.gateway, so "
            "no gateway of another cluster can lead requests there. An administrator sets it.",
        )
    ready = find(model.status, ConditionType.READY)
    reason = Reason(ready.reason) if ready else Reason.PROGRESSING
    message = (
        f"{name} is not ready yet ({state(model.status)}, {reason}); "
        f"`kubectl -n {model.metadata.namespace} describe smallmodel {name}` tells why."
    )
    return Unavailable(reason=reason, message=message)


def _front(pool: str | None, namespace: str) -> Endpoint | None:
    """Return Serve's front of a pool."""
    if pool is None:
        return None
    return Endpoint(address=f"{pool}-serve-svc.{namespace}.svc", port=SERVE_PORT)


def _scaling(model: SmallModel | Unreadable, placement: ModelPlacement | None) -> Scaling:
    """Return what the user asks for; of a model that cannot be read, what was decided before."""
    if isinstance(model, SmallModel):
        return model.spec.scaling
    if placement is not None:
        return placement.spec.scaling
    return model.scaling or Scaling()
