"""One pass over a SmallModel: pinned choices, sources, deletion, and what cannot be read."""

from collections.abc import Mapping
from typing import Any

import pytest

from builders.cards import CardBuilder, catalog
from builders.clusters import around, declared, node, view
from builders.fake_hub import law
from builders.fake_namespace import START, fetched_job
from builders.models import GIB, spec
from builders.placements import HASH, deployment
from builders.plan_values import fetched
from builders.pool_values import pool_settings
from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.fetch import FetchEvent, FetchFailed, GgufFacts
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelplacement import ModelPlacement, ModelPlacementStatus, Problem
from smallmodel_operator.api.names import ANNOTATION_RE_RESOLVE, FINALIZER
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import SmallModel, SmallModelStatus
from smallmodel_operator.catalog.cards import Catalog
from smallmodel_operator.plan.placements import placement_manifest, source_weights
from smallmodel_operator.plan.pools.fetchjob import job_name
from smallmodel_operator.reconcile.clock import after
from smallmodel_operator.reconcile.model import decide_model, decide_unreadable, evaluates
from smallmodel_operator.reconcile.model_values import ModelOrders, ModelSight, UnreadableSight
from smallmodel_operator.reconcile.sight import JobSight
from smallmodel_operator.reconcile.source import needs_source_job, source_job
from smallmodel_operator.status.state import find

SETTINGS = pool_settings()
SOURCE: dict[str, object] = {"source": {"uri": "https://example.org/tiny.gguf"}}
FACTS = GgufFacts(
    architecture="llama",
    parameters=1_000_000,
    layers=2,
    heads=4,
    kv_heads=(2,),
    head_dim=8,
    hidden=32,
    vocabulary=1000,
    context_length=2048,
    has_chat_template=True,
    embeds=False,
)
FOUND = fetched(path="/weights/tiny.gguf", sha256="cd" * 32, gguf=FACTS)
URL = "http://gateway/team/v1"


def small_model(fields: Mapping[str, object] | None = None, **metadata: Any) -> SmallModel:
    values = {"name": "chat", "namespace": "team", "generation": 1, "finalizers": (FINALIZER,)}
    return SmallModel(metadata=ObjectMeta(**values | metadata), spec=spec(fields))


def sight(model: SmallModel | None = None, **changes: Any) -> ModelSight:
    values: dict[str, Any] = {
        "model": model or small_model(),
        "catalog": catalog(CardBuilder()),
        "views": {"local": view()},
        "around": around(),
        "secrets": frozenset(),
        "url": URL,
        "hub_id": "hub",
    }
    return ModelSight(**values | changes)


def decide(model: SmallModel | None = None, now: str = START, **changes: Any) -> ModelOrders:
    return decide_model(sight(model, **changes), SETTINGS, now)


def placed(model: SmallModel | None = None, **changes: Any) -> ModelPlacement:
    """The placement that a pass makes, as the API server has it afterwards."""
    (made,) = decide(model, **changes).placements
    return made.model_copy(update={"metadata": made.metadata.model_copy(update={"generation": 1})})


def said(orders: ModelOrders, kind: ConditionType) -> tuple[str, str]:
    assert orders.status is not None
    condition = find(orders.status, kind)
    assert condition is not None
    return condition.status, condition.reason


def job_of(model: SmallModel, event: FetchEvent | None, at: str = START) -> JobSight:
    manifest = decide(model).fetch
    assert manifest is not None
    return JobSight(manifest=manifest) if event is None else fetched_job(manifest, at, event)


# A card's model


def test_a_model_is_placed_and_held() -> None:
    orders = decide(small_model(finalizers=()))

    assert orders.hold
    assert orders.placements
    assert said(orders, ConditionType.PLACED) == ("True", Reason.PLACED)


def test_one_that_cannot_be_placed_is_held_too_so_that_its_deletion_is_seen() -> None:
    orders = decide(small_model(finalizers=()), catalog=Catalog(cards=()))

    assert orders.hold
    assert not orders.placements


def test_one_that_is_held_already_is_not_held_again() -> None:
    assert not decide().hold


def test_a_placement_whose_finalizer_an_uninstall_took_off_is_held_again_as_it_is() -> None:
    pinned = placed()
    loose = pinned.model_copy(
        update={"metadata": pinned.metadata.model_copy(update={"finalizers": ("other",)})}
    )

    for catalog_now in (catalog(CardBuilder()), Catalog(cards=())):
        orders = decide(placements=(loose,), catalog=catalog_now)
        assert orders.placements
        assert placement_manifest(orders.placements[0]) == placement_manifest(pinned)


def test_a_pinned_choice_stays_whatever_the_cards_say_now() -> None:
    orders = decide(placements=(placed(),), catalog=Catalog(cards=()))

    assert not orders.placements


def test_deciding_again_writes_nothing() -> None:
    model, placement = small_model(), placed()
    first = decide(model, placements=(placement,))
    assert first.status is not None

    again = decide(model.model_copy(update={"status": first.status}), placements=(placement,))

    assert again == ModelOrders()


@pytest.mark.parametrize(
    "changed",
    [
        small_model(generation=2),
        small_model(annotations={ANNOTATION_RE_RESOLVE: "now"}),
    ],
)
def test_a_new_generation_or_the_wish_to_resolve_again_is_decided_anew(changed: SmallModel) -> None:
    assert evaluates(sight(changed, placements=(placed(),)))
    assert decide(changed, placements=(placed(),)).placements


def test_an_edit_of_limits_keeps_the_place_though_others_took_the_room() -> None:
    full = view(node(free_cpu_cores=0.0, free_memory_bytes=0))
    changed = small_model({"scaling": {"maxReplicas": 2}}, generation=2)

    orders = decide(changed, placements=(placed(),), views={"local": full})

    assert orders.placements
    assert orders.placements[0].spec.worker == placed().spec.worker


def test_what_serves_an_earlier_spec_stays_known_while_the_new_one_is_on_its_way() -> None:
    before = placed()
    running = ModelPlacementStatus(
        observed_generation=1, deployment=deployment(), serving_hash=HASH, pool="p"
    )
    before = before.model_copy(update={"status": running})

    orders = decide(small_model(generation=2), placements=(before,))

    assert orders.status is not None
    assert [copy.serving_hash for copy in orders.status.copies] == [HASH]


def test_a_model_without_a_card_is_refused_and_what_runs_goes_on() -> None:
    orders = decide(small_model({"model": "nothing"}, generation=2), placements=(placed(),))

    assert (orders.placements, orders.drops) == ((), ())
    assert said(orders, ConditionType.RESOLVED) == ("False", Reason.UNKNOWN_MODEL)


def test_a_model_that_does_not_fit_is_refused_with_numbers() -> None:
    tiny = view(node(memory_bytes=GIB, free_memory_bytes=GIB))

    orders = decide(views={"local": tiny})

    assert not orders.placements
    assert said(orders, ConditionType.PLACED)[0] == "False"


def test_before_the_cluster_was_seen_a_model_waits() -> None:
    orders = decide(views={})

    assert said(orders, ConditionType.PLACED) == ("False", Reason.CLUSTER_NOT_OBSERVED)


# Deletion


def test_a_deleted_model_drops_its_placement_and_is_released() -> None:
    leaving = small_model(deletion_timestamp=START)

    assert decide(leaving, placements=(placed(),)) == ModelOrders(drops=(placed(),), release=True)
    assert decide(leaving) == ModelOrders(release=True)
    assert decide(small_model(deletion_timestamp=START, finalizers=("other",))) == ModelOrders()


def test_a_placement_that_goes_already_is_not_dropped_again_and_is_waited_for() -> None:
    going = placed()
    metadata = going.metadata.model_copy(update={"deletion_timestamp": START})
    going = going.model_copy(update={"metadata": metadata})

    leaving = small_model(deletion_timestamp=START)
    assert decide(leaving, placements=(going,)) == ModelOrders(release=True)
    assert decide(placements=(going,)) == ModelOrders(again=2.0)


# Sources


def test_a_source_is_fetched_before_it_is_placed() -> None:
    model = small_model(SOURCE)

    orders = decide(model)

    assert not orders.placements
    assert orders.fetch is not None
    assert orders.fetch["metadata"]["name"] == source_job(model)
    assert said(orders, ConditionType.RESOLVED) == ("Unknown", Reason.FETCHING)
    assert decide(model, job=job_of(model, None)).fetch is None


def test_what_was_fetched_is_placed_and_not_fetched_twice() -> None:
    model = small_model(SOURCE)

    orders = decide(model, job=job_of(model, FOUND))

    (made,) = orders.placements
    assert job_name(made.spec.weights) == source_job(model)
    assert made.spec.args.sha256 == FOUND.sha256
    assert (orders.fetch, orders.fetch_again) == (None, None)


def test_a_source_that_cannot_be_fetched_says_why_and_is_tried_again_later() -> None:
    model = small_model(SOURCE)
    failed = FetchFailed(reason=Reason.SOURCE_UNREACHABLE, message="no route")
    job = job_of(model, failed)

    early = decide(model, job=job, now=after(START, 50))
    assert said(early, ConditionType.RESOLVED) == ("False", Reason.SOURCE_UNREACHABLE)
    assert (early.fetch_again, early.again) == (None, 10.0)
    late = decide(model, job=job, now=after(START, 60))
    assert late.fetch_again == source_job(model)


def test_while_another_source_is_fetched_the_earlier_one_goes_on() -> None:
    model = small_model(SOURCE)
    placement = placed(model, job=job_of(model, FOUND))
    changed = small_model({"source": {"uri": "https://example.org/other.gguf"}}, generation=2)

    orders = decide(changed, placements=(placement,))

    assert orders.fetch is not None
    assert said(orders, ConditionType.READY)[0] == "False"
    assert orders.status is not None
    assert [copy.variant for copy in orders.status.copies] == ["source"]


def test_an_edit_beside_the_source_takes_what_the_placement_has_fetched() -> None:
    model = small_model(SOURCE)
    job = job_of(model, FOUND)
    placement = placed(model, job=job)
    known = ModelPlacementStatus(fetch=FOUND, fetch_job=source_job(model))
    placement = placement.model_copy(update={"status": known})
    changed = small_model({**SOURCE, "scaling": {"maxReplicas": 2}}, generation=2)

    orders = decide(changed, placements=(placement,))

    assert orders.placements
    assert orders.fetch is None


@pytest.mark.parametrize(
    ("source", "reason", "step"),
    [
        ({"uri": "file:///models/x.gguf"}, Reason.SOURCE_NOT_SUPPORTED, "pvc://<claim>/<path>"),
        ({"uri": "ftp://example.org/x.gguf"}, Reason.SOURCE_NOT_SUPPORTED, "Use one of"),
        (
            {"uri": "hf://org/x.gguf", "secretRef": {"name": "hub"}},
            Reason.SECRET_MISSING,
            "hub",
        ),
    ],
)
def test_a_source_that_cannot_be_had_is_refused_before_a_job_is_made(
    source: dict[str, object], reason: Reason, step: str
) -> None:
    orders = decide(small_model({"source": source}))

    assert orders.fetch is None
    assert said(orders, ConditionType.RESOLVED) == ("False", reason)
    assert orders.status is not None
    condition = find(orders.status, ConditionType.RESOLVED)
    assert condition is not None
    assert step in condition.message


def test_what_is_said_against_a_fetch_is_told_and_tried_again_until_a_job_is_there() -> None:
    model = small_model(SOURCE)
    theirs = Problem(reason=Reason.NAME_CONFLICT, message="the claim is theirs")

    orders = decide(model, refused=theirs)
    assert orders.fetch is not None
    assert said(orders, ConditionType.RESOLVED) == ("False", Reason.NAME_CONFLICT)

    orders = decide(model, refused=theirs, job=job_of(model, None))
    assert said(orders, ConditionType.RESOLVED) == ("Unknown", Reason.FETCHING)


def test_a_job_is_needed_until_the_placement_has_taken_its_result() -> None:
    model = small_model(SOURCE)
    placement = placed(model, job=job_of(model, FOUND))
    taken = placement.model_copy(
        update={"status": ModelPlacementStatus(fetch=FOUND, fetch_job=source_job(model))}
    )

    assert needs_source_job(model, None)
    assert needs_source_job(model, placement)
    assert not needs_source_job(model, taken)
    assert not needs_source_job(small_model(SOURCE, deletion_timestamp=START), None)
    assert not needs_source_job(small_model(), None)


def test_the_placement_says_exactly_what_the_user_said_of_the_source() -> None:
    model = small_model({"source": {"uri": "https://example.org/tiny.gguf", "sha256": "cd" * 32}})
    made = placed(model, job=job_of(model, FOUND))

    assert model.spec.source is not None
    assert made.spec.weights == source_weights(model.spec.source)
    assert placement_manifest(made)["spec"]["weights"]["sha256"] == "cd" * 32


# Unreadable


def unreadable(**changes: Any) -> UnreadableSight:
    values: dict[str, Any] = {
        "metadata": ObjectMeta(name="chat", namespace="team", generation=4),
        "status": SmallModelStatus(),
        "message": "spec.scaling: the least is more than the most",
        "placements": (),
        "around": around(),
        "url": URL,
    }
    return UnreadableSight(**values | changes)


def test_a_manifest_that_cannot_be_read_is_said_to_be_invalid_once() -> None:
    orders = decide_unreadable(unreadable(), START)

    assert said(orders, ConditionType.RESOLVED) == ("False", Reason.INVALID_MANIFEST)
    assert said(orders, ConditionType.STALLED) == ("True", Reason.INVALID_MANIFEST)
    assert orders.status is not None
    assert orders.status.observed_generation == 4
    assert decide_unreadable(unreadable(status=orders.status), START) == ModelOrders()


def test_what_was_decided_before_a_manifest_became_unreadable_goes_on() -> None:
    orders = decide_unreadable(unreadable(placements=(placed(),)), START)

    assert not orders.drops
    assert orders.status is not None
    assert len(orders.status.copies) == 1


def test_a_law_of_the_namespace_ends_what_an_unreadable_manifest_left() -> None:
    there = around(law("FR"), cluster=declared(jurisdiction="DE"))

    orders = decide_unreadable(unreadable(placements=(placed(),), around=there), START)

    assert orders.drops == (placed(),)
    assert orders.status is not None
    assert orders.status.copies == ()


def test_an_unreadable_manifest_that_is_deleted_is_released() -> None:
    metadata = ObjectMeta(
        name="chat", namespace="team", deletion_timestamp=START, finalizers=(FINALIZER,)
    )
    orders = decide_unreadable(unreadable(metadata=metadata, placements=(placed(),)), START)

    assert orders == ModelOrders(drops=(placed(),), release=True)
