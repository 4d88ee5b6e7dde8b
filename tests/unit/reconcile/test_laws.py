"""What a law does to models: those that come, those that run, and when it changes."""

from dataclasses import replace
from typing import Any

import pytest

from builders.cards import CardBuilder, catalog
from builders.clusters import around, declared, view
from builders.models import small_model as spec_of
from builders.pool_values import pool_settings
from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.datasource import DataSource, DataSourceSpec
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import FINALIZER
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.placement.declared import Around
from smallmodel_operator.reconcile.model import decide_model
from smallmodel_operator.reconcile.model_values import ModelOrders, ModelSight
from smallmodel_operator.status.state import find

NOW = "2026-11-24T12:00:00Z"
GERMANY, NOWHERE = declared(jurisdiction="DE"), declared()


def law(*countries: str, **spec: Any) -> DataSource:
    metadata = ObjectMeta(name="records", namespace="team")
    return DataSource(
        metadata=metadata,
        spec=DataSourceSpec.model_validate(spec | {"residency": {"jurisdictions": countries}}),
    )


def model(**fields: Any) -> SmallModel:
    metadata = ObjectMeta(name="chat", namespace="team", generation=1, finalizers=(FINALIZER,))
    return SmallModel(metadata=metadata, spec=spec_of(fields).spec)


def decide(
    there: Around | None,
    placement: ModelPlacement | None = None,
    asked: SmallModel | None = None,
) -> ModelOrders:
    sight = ModelSight(
        model=asked or model(),
        placements=(placement,) if placement else (),
        catalog=catalog(CardBuilder()),
        views={"local": view()},
        around=there,
        secrets=frozenset(),
        url="http://gateway/team/v1",
        hub_id="hub",
    )
    return decide_model(sight, pool_settings(), NOW)


def running(**metadata: Any) -> ModelPlacement:
    (made,) = decide(around(cluster=GERMANY)).placements
    changed = made.metadata.model_copy(update={"generation": 1} | metadata)
    return made.model_copy(update={"metadata": changed})


def placed(orders: ModelOrders) -> tuple[str, str]:
    assert orders.status is not None
    condition = find(orders.status, ConditionType.PLACED)
    assert condition is not None
    return condition.status, condition.reason


def test_a_model_that_names_no_data_is_bound_by_the_data_of_its_namespace() -> None:
    orders = decide(around(law("FR"), cluster=GERMANY))

    assert not orders.placements
    assert placed(orders) == ("False", Reason.RESIDENCY_FORBIDDEN)
    assert orders.status is not None
    assert orders.status.decision is not None
    told = orders.status.decision.candidates[0]
    assert (told.cluster, told.selected, told.reason) == ("local", False, "ResidencyForbidden")
    assert "records may be read in FR only" in told.message
    assert (told.cost, told.grams_co2e_per_hour) == (None, None)


def test_a_model_that_does_not_name_data_for_those_who_name_it_is_free() -> None:
    referenced = around(law("FR", appliesTo="Referenced"), cluster=GERMANY)

    assert decide(referenced).placements
    named = decide(referenced, asked=model(data=[{"name": "records"}]))
    assert placed(named) == ("False", Reason.RESIDENCY_FORBIDDEN)


def test_a_new_law_ends_what_runs_outside_of_it_at_once_and_says_why() -> None:
    orders = decide(around(law("FR"), cluster=GERMANY), running())

    assert orders.drops
    assert not orders.placements
    assert placed(orders) == ("False", Reason.RESIDENCY_FORBIDDEN)
    assert orders.status is not None
    assert orders.status.copies == ()


@pytest.mark.parametrize(
    "there",
    [around(law("DE"), cluster=NOWHERE), around(law("FR"), law("DE"), cluster=GERMANY)],
    ids=["a cluster that is nowhere any more", "laws that contradict each other"],
)
def test_what_runs_is_ended_by(there: Around) -> None:
    assert decide(there, running()).drops


@pytest.mark.parametrize(
    "there",
    [
        around(law("DE"), cluster=GERMANY),
        around(law("EU"), cluster=GERMANY),
        around(cluster=NOWHERE),
        around(cluster=declared(jurisdiction="DE", taints=[{"key": "away"}])),
        replace(around(cluster=GERMANY), unread_sources=("records",)),
        None,
    ],
    ids=[
        "a law that allows it",
        "a law of a group of countries",
        "no law at all",
        "a taint, with nowhere else to go",
        "a law that cannot be read",
        "a cluster that was not read yet",
    ],
)
def test_what_runs_goes_on_under(there: Around | None) -> None:
    orders = decide(there, running())

    assert not orders.drops
    assert placed(orders) == ("True", Reason.PLACED)


def test_what_was_ended_is_not_ended_again_and_waits_for_its_end() -> None:
    orders = decide(around(law("FR"), cluster=GERMANY), running(deletion_timestamp=NOW))

    assert orders == ModelOrders(again=2.0)


def test_a_law_that_is_lifted_lets_the_model_come_back_by_itself() -> None:
    ended = decide(around(law("FR"), cluster=GERMANY), running())
    assert ended.status is not None
    later = model().model_copy(update={"status": ended.status})

    back = decide(around(law("FR", "DE"), cluster=GERMANY), asked=later)

    assert back.placements
    assert placed(back) == ("True", Reason.PLACED)


def test_nothing_is_placed_before_the_cluster_was_read() -> None:
    assert placed(decide(None)) == ("False", Reason.CLUSTER_NOT_OBSERVED)


def test_the_numbers_of_what_runs_follow_what_is_declared() -> None:
    def told(price: str) -> str:
        cluster = declared(jurisdiction="DE", prices={"cpuHour": price, "memoryGBHour": "0"})
        orders = decide(around(cluster=cluster), running())
        assert orders.status is not None
        assert orders.status.decision is not None
        candidate = orders.status.decision.candidates[0]
        assert candidate.reason == "Kept"
        assert candidate.cost is not None
        assert candidate.assumed[0] == "grid g/kWh 380.95 (table grid, DE)"
        return candidate.cost.compute

    assert (told("1"), told("2")) == ("2.00", "4.00")


def test_data_that_is_not_there_is_named_with_what_is() -> None:
    orders = decide(around(law("DE"), cluster=GERMANY), asked=model(data=[{"name": "recrods"}]))

    assert placed(orders) == ("False", Reason.DATA_SOURCE_MISSING)


def bound(orders: ModelOrders) -> tuple[str, ...] | None:
    (made,) = orders.placements
    return made.spec.residency.jurisdictions if made.spec.residency else None


def test_a_placement_says_what_the_laws_allow_together() -> None:
    assert bound(decide(around(law("DE", "FR"), cluster=GERMANY))) == ("DE", "FR")
    assert bound(decide(around(cluster=GERMANY))) is None


def test_a_law_that_comes_later_is_written_into_what_runs_and_taken_out_again() -> None:
    before = running()
    told = decide(around(law("DE"), cluster=GERMANY), before)
    assert bound(told) == ("DE",)
    (after,) = told.placements
    assert after.spec.args == before.spec.args

    assert not decide(around(law("DE"), cluster=GERMANY), after).placements
    assert bound(decide(around(cluster=GERMANY), after)) is None


def test_a_law_that_cannot_be_read_is_not_forgotten() -> None:
    (before,) = decide(around(law("DE"), cluster=GERMANY), running()).placements
    unread = replace(around(cluster=GERMANY), unread_sources=("records",))
    assert not decide(unread, before).placements
    assert not decide(None, before).placements
