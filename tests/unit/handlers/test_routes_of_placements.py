"""Where nobody knows the models, as with an agent, requests go by the placements alone."""

from typing import Any

from builders.placements import POOL, placed_status
from builders.pool_values import placement_of
from smallmodel_operator.api.modelplacement import ModelPlacement, ModelPlacementStatus
from smallmodel_operator.api.smallmodel import Scaling
from smallmodel_operator.handlers.placements import Placements
from smallmodel_operator.handlers.routes import ModelRoutes, Routes
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.plan.gateway.cluster_values import RoutedModel

KEY = ("team-a", "chat")


def routes(*placements: ModelPlacement, of_placements: bool = True) -> ModelRoutes:
    known = Placements(hub_id="hub-1")
    for one in placements:
        known.by_model[one.spec.model.namespace, one.spec.model.name] = one
    return ModelRoutes(HubStores(hub_id="hub-1"), known, "edge", of_placements)


def placed(status: ModelPlacementStatus | None = None, **changes: Any) -> ModelPlacement:
    made = placement_of(namespace=KEY[0], **changes)
    return made.model_copy(update={"status": status or placed_status()})


def now(made: ModelRoutes) -> Routes:
    return made.now(lambda _: ("10.0.0.1",))


def only(made: ModelRoutes) -> RoutedModel:
    ((one,),) = (space.models for space in now(made))
    return one


def test_a_placement_stands_for_its_model() -> None:
    found = only(routes(placed(scaling=Scaling(request_timeout="42s"))))
    assert found.upstream is not None
    assert found.upstream.address == f"{POOL}-serve-svc.team-a.svc"
    assert found.model.name == "chat"
    assert found.model.request_timeout_seconds == 42


def test_one_that_does_not_answer_yet_says_so() -> None:
    found = only(routes(placed(ModelPlacementStatus())))
    assert found.upstream is None
    assert found.model.unavailable is not None


def test_one_that_is_being_deleted_has_no_route() -> None:
    leaving = placed(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    assert now(routes(leaving)) == ()


def test_where_models_are_known_a_placement_alone_has_no_route() -> None:
    assert now(routes(placed(), of_placements=False)) == ()


def test_what_did_not_change_is_not_made_again() -> None:
    made = routes(placed())
    first = only(made)
    assert only(made) is first
    made.placements.by_model[KEY] = placed()
    assert only(made) is not first
    assert only(made) == first
