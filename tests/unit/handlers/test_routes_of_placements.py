"""Where nobody knows the models, as with an agent, requests go by the placements alone."""

from typing import Any

from builders.placements import POOL, placed_status
from builders.pool_values import placement_of
from smallmodel_operator.api.modelplacement import ModelPlacement, ModelPlacementStatus
from smallmodel_operator.api.names import ANNOTATION_LEAVING_SINCE, gateway_identity
from smallmodel_operator.api.smallmodel import Scaling
from smallmodel_operator.handlers.placements import Placements
from smallmodel_operator.handlers.routes import ModelRoutes, Routes
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.plan.gateway.cluster_values import RoutedModel
from smallmodel_operator.plan.gateway.leading import Copy
from smallmodel_operator.plan.gateway.told import Told, ToldCluster, ToldModel

KEY = ("team-a", "chat")


def routes(
    *placements: ModelPlacement, of_placements: bool = True, cluster: str = "edge"
) -> ModelRoutes:
    known = Placements(hub_id="hub-1")
    for one in placements:
        known.by_model[one.spec.model.namespace, one.spec.model.name] = one
    return ModelRoutes(HubStores(hub_id="hub-1"), known, cluster, of_placements)


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


def test_on_the_hub_a_placement_without_its_model_has_no_route() -> None:
    assert now(routes(placed(), of_placements=False, cluster="local")) == ()


def test_a_member_leads_on_to_what_a_hub_from_an_old_backup_does_not_know() -> None:
    found = only(routes(placed(), of_placements=False))
    assert found.upstream is not None
    assert found.model.unavailable is None


def test_what_is_being_deleted_is_told() -> None:
    leaving = placed(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    assert routes(placed(), of_placements=False).going() == frozenset()
    assert routes(leaving, of_placements=False).going() == {KEY}


def test_what_did_not_change_is_not_made_again() -> None:
    made = routes(placed())
    first = only(made)
    assert only(made) is first
    made.placements.by_model[KEY] = placed()
    assert only(made) is not first
    assert only(made) == first


MUNICH = ToldCluster(name="munich", gateway="https://munich.example.com:8443", jurisdiction="DE")


def told(made: ModelRoutes, *copies: Copy, name: str = KEY[1]) -> None:
    """Have the hub say that the model answers there."""
    model = ToldModel(namespace=KEY[0], name=name, request_timeout="42s", copies=copies)
    clusters = (MUNICH, ToldCluster(name="edge"), ToldCluster(name="silent"))
    made.hub.told = Told(clusters=clusters, models=(model,))


class TestWhatTheHubTells:
    """An agent knows of models elsewhere what its hub told it."""

    def test_a_model_that_is_elsewhere_alone_is_led_there(self) -> None:
        made = routes()
        told(made, Copy(cluster="munich"))

        found = only(made)
        assert [peer.identity for peer in found.elsewhere] == [gateway_identity("munich", "hub-1")]
        assert found.model.request_timeout_seconds == 42
        assert only(made) is found

    def test_the_copy_here_is_asked_first(self) -> None:
        made = routes(placed())
        told(made, Copy(cluster="munich"), Copy(cluster="edge"))

        found = only(made)
        assert found.upstream is not None
        assert found.elsewhere == ()

    def test_a_copy_here_that_does_not_answer_yet_leaves_it_to_others(self) -> None:
        made = routes(placed(ModelPlacementStatus()))
        told(made, Copy(cluster="munich"))

        assert [peer.cluster for peer in only(made).elsewhere] == ["munich"]

    def test_a_copy_that_goes_from_here_turns_requests_to_others(self) -> None:
        made = routes(placed())
        told(made, Copy(cluster="munich"))
        assert only(made).upstream is not None
        mark = {"annotations": {ANNOTATION_LEAVING_SINCE: "2026-11-29T12:00:00Z"}}
        made.hub.placements_on("edge").by_model[KEY] = placed(metadata=mark)

        found = only(made)
        assert [peer.cluster for peer in found.elsewhere] == ["munich"]
        assert found.leaving is not None

        made.placements.by_model[KEY] = placed(metadata={"deletionTimestamp": "2026-11-29"})
        found = only(made)
        assert [peer.cluster for peer in found.elsewhere] == ["munich"]
        assert found.leaving is None

    def test_the_law_of_its_data_is_asked_here_too(self) -> None:
        made = routes()
        told(made, Copy(cluster="munich", jurisdictions=("FR",)))

        found = only(made)
        assert found.elsewhere == ()
        assert found.model.unavailable is not None

    def test_a_cluster_without_a_gateway_is_named(self) -> None:
        made = routes()
        told(made, Copy(cluster="silent"))

        why = only(made).model.unavailable
        assert why is not None
        assert "chat is served in silent, whose ModelCluster has no spec.gateway" in why.message

    def test_gateways_of_all_other_clusters_may_ask(self) -> None:
        made = routes()
        assert made.identities() == ()
        told(made)

        others = [gateway_identity(name, "hub-1") for name in ("munich", "silent")]
        assert made.identities() == tuple(others)

    def test_another_word_of_the_hub_is_another_route(self) -> None:
        made = routes()
        told(made, Copy(cluster="munich"))
        assert only(made).elsewhere
        told(made)
        assert only(made).model.unavailable is not None
        told(made, Copy(cluster="munich"), name="other")
        assert only(made).model.name == "other"
