from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.plan_values import gateway_model, names, namespace_routes, routed_model
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.plan.gateway.cluster import build_cluster_gateway
from smallmodel_operator.plan.gateway.cluster_values import ClusterGatewaySettings, RoutedModel
from smallmodel_operator.plan.gateway.snapshot import (
    PATIENCE,
    RouteKey,
    SnapshotInput,
    routes_in,
    routes_of,
    withhold,
)
from smallmodel_operator.plan.gateway.values import Unavailable

WHY = Unavailable(reason=Reason.FETCHING, message="42 % of its weights are there")

keys = st.frozensets(st.tuples(st.sampled_from("ab"), st.sampled_from("0123456789")))


def models(number: int, first: int = 0) -> frozenset[RouteKey]:
    return frozenset(("team-a", f"m{one:03}") for one in range(first, first + number))


def given_routes(**changed: Any) -> SnapshotInput:
    values: dict[str, Any] = {
        "before": models(10),
        "after": models(10),
        "deleted": frozenset(),
        "all_pools_read": True,
    }
    return SnapshotInput(**values | changed)


def test_the_same_routes_may_replace_themselves() -> None:
    assert withhold(given_routes()) is None


@pytest.mark.parametrize("before", [0, 10])
def test_nothing_is_written_before_all_pools_were_read(before: int) -> None:
    why = withhold(given_routes(before=models(before), all_pools_read=False))

    assert why is not None
    assert why.reason == "PoolsUnread"
    assert "not every pool" in why.message


@pytest.mark.parametrize(
    ("before", "after", "taken"),
    [
        (10, 9, True),
        (10, 8, True),
        (10, 7, False),
        (10, 0, False),
        (5, 4, True),
        (4, 3, False),
        (1, 0, False),
        (0, 0, True),
        (0, 9, True),
    ],
)
def test_a_fifth_may_go_missing_and_no_more(before: int, after: int, taken: bool) -> None:
    why = withhold(given_routes(before=models(before), after=models(after)))

    assert (why is None) is taken
    assert why is None or why.reason == "SnapshotShrunk"


def test_new_routes_do_not_make_up_for_lost_ones() -> None:
    assert withhold(given_routes(after=models(100, first=5))) is not None


@pytest.mark.parametrize(("waited", "taken"), [(PATIENCE - 1, False), (PATIENCE, True)])
def test_a_loss_that_stays_is_believed_in_the_end(waited: float, taken: bool) -> None:
    given = given_routes(before=models(10), after=models(1), withheld_for=waited)

    assert (withhold(given) is None) is taken


def test_deleted_models_may_go_all_of_them() -> None:
    assert withhold(given_routes(after=frozenset(), deleted=models(10))) is None
    assert withhold(given_routes(after=frozenset(), deleted=models(8))) is None
    assert withhold(given_routes(after=frozenset(), deleted=models(7))) is not None


def test_the_message_counts_and_names_what_is_missing() -> None:
    why = withhold(given_routes(after=models(2)))
    few = withhold(given_routes(before=models(2), after=models(1)))

    assert why is not None
    assert "lack 8 of 10 models" in why.message
    assert "team-a/m002, " in why.message
    assert "team-a/m006 and 3 more)" in why.message
    assert few is not None
    assert "(team-a/m001)" in few.message


@given(keys, keys, keys)
def test_what_is_taken_never_loses_more_than_a_fifth_that_nobody_deleted(
    before: frozenset[RouteKey], after: frozenset[RouteKey], deleted: frozenset[RouteKey]
) -> None:
    why = withhold(given_routes(before=before, after=after, deleted=deleted))

    assert (why is None) is (5 * len(before - after - deleted) <= len(before))


@given(st.dictionaries(names, st.sets(names, max_size=3), max_size=3))
def test_a_configuration_tells_what_it_was_built_from(given: dict[str, set[str]]) -> None:
    namespaces = [
        namespace_routes(
            name,
            *(routed_model(model, unavailable=WHY if len(model) > 9 else None) for model in models),
        )
        for name, models in given.items()
    ]
    config = build_cluster_gateway(namespaces, ClusterGatewaySettings())

    assert routes_in(config) == routes_of(namespaces)


def test_namespaces_and_models_may_be_called_like_parts_of_a_path() -> None:
    odd = ("v1", "models", "health")
    namespaces = [namespace_routes(name, *map(routed_model, odd)) for name in odd]
    config = build_cluster_gateway(namespaces, ClusterGatewaySettings())

    assert routes_in(config) == {(name, model) for name in odd for model in odd}


def test_a_model_that_cannot_be_asked_is_still_a_route() -> None:
    namespaces = [
        namespace_routes("a", routed_model("chat"), routed_model("embed")),
        namespace_routes("b", RoutedModel(model=gateway_model("chat", unavailable=WHY))),
        namespace_routes("c"),
    ]

    assert routes_of(namespaces) == {("a", "chat"), ("a", "embed"), ("b", "chat")}
