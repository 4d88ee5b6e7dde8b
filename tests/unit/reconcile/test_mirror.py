"""What is carried to another cluster, what is told back, and when anything is deleted there."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.placements import placed_status
from builders.pool_values import placement_of
from smallmodel_operator.api.modelplacement import (
    ModelPlacement,
    ModelPlacementStatus,
    Problem,
)
from smallmodel_operator.api.names import (
    ANNOTATION_ORIGIN,
    FINALIZER,
    LABEL_CLUSTER,
    LABEL_HUB,
)
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import CONTRACT
from smallmodel_operator.plan.placements import placement_manifest, spec_hash
from smallmodel_operator.reconcile.mirror import (
    Mirrored,
    MirrorOrders,
    MirrorSight,
    build_mirror,
    decide_mirror,
    is_whole,
    mirror_manifest,
)

NOW = "2026-11-29T12:00:00Z"
ENDING = "2026-11-29T11:00:00Z"
SYSTEM = "smallmodel-system"
REFUSED = Problem(reason=Reason.REFUSED, message="exceeded quota")


def decided(**spec: Any) -> ModelPlacement:
    """Return what the hub decided for the cluster `edge`."""
    metadata = {
        "labels": {LABEL_HUB: "hub-1"},
        "finalizers": [FINALIZER],
        "generation": 3,
        "uid": "hub-uid",
    }
    made = placement_of(metadata=metadata, **{"cluster": "edge"} | spec)
    return made.model_copy(update={"spec": _hashed(made)})


def _hashed(placement: ModelPlacement) -> Any:
    return placement.spec.model_copy(update={"spec_hash": spec_hash(placement.spec)})


def changed(placement: ModelPlacement, **metadata: Any) -> ModelPlacement:
    known = placement.metadata.model_copy(update=metadata)
    return placement.model_copy(update={"metadata": known})


def with_status(placement: ModelPlacement, **status: Any) -> ModelPlacement:
    return placement.model_copy(update={"status": placement.status.model_copy(update=status)})


def mirrored(placement: ModelPlacement, **status: Any) -> ModelPlacement:
    """Return a mirror as the cluster has it: of generations of its own."""
    made = changed(build_mirror(placement, SYSTEM), generation=7, resource_version="70")
    return with_status(made, observed_generation=7, **status)


def sight(**changes: Any) -> MirrorSight:
    mirror = changes.get("mirror")
    values: dict[str, Any] = {
        "cluster": "edge",
        "namespace": SYSTEM,
        "placement": decided(),
        "there": Mirrored.OURS if mirror is not None else Mirrored.NOTHING,
        "accepted": True,
    }
    return MirrorSight(**values | changes)


def decide(**changes: Any) -> MirrorOrders:
    return decide_mirror(sight(**changes), NOW)


def problem_in(orders: MirrorOrders) -> Problem:
    assert orders.status is not None
    assert orders.status.problem is not None
    return orders.status.problem


def test_a_placement_without_a_mirror_gets_one_that_says_whose_it_is() -> None:
    hub = decided()

    made = decide(placement=hub).apply

    assert made is not None
    assert made.spec == hub.spec
    assert (made.metadata.name, made.metadata.namespace) == (hub.metadata.name, SYSTEM)
    assert made.metadata.labels == {LABEL_HUB: "hub-1", LABEL_CLUSTER: "edge"}
    assert made.metadata.annotations == {ANNOTATION_ORIGIN: "hub-uid"}
    assert made.metadata.finalizers == (FINALIZER,)


def test_a_mirror_that_is_as_it_should_is_not_written() -> None:
    hub = decided()
    mirror = mirrored(hub)
    more = changed(
        mirror, labels=mirror.metadata.labels | {"team": "a"}, finalizers=(FINALIZER, "x")
    )

    for one in (mirror, more):
        orders = decide(placement=with_status(hub, observed_generation=3), mirror=one)
        assert orders.apply is None


@pytest.mark.parametrize(
    "damage",
    [
        {"labels": {LABEL_HUB: "hub-1"}},
        {"annotations": {}},
        {"finalizers": ()},
    ],
)
def test_what_somebody_took_from_a_mirror_is_given_back(damage: dict[str, Any]) -> None:
    hub = decided()
    assert decide(placement=hub, mirror=changed(mirrored(hub), **damage)).apply is not None


def test_a_changed_decision_is_carried_on() -> None:
    hub = decided()
    earlier = mirrored(decided(variant="q8_0"))

    made = decide(placement=hub, mirror=earlier).apply

    assert made is not None
    assert made.spec.variant == hub.spec.variant


def test_a_hub_that_was_restored_knows_its_mirrors_by_their_names() -> None:
    hub = changed(decided(), uid="another-uid")

    orders = decide(placement=hub, mirror=mirrored(decided()))

    assert orders.apply is not None
    assert orders.apply.metadata.annotations == {ANNOTATION_ORIGIN: "another-uid"}
    assert build_mirror(changed(decided(), uid=None), SYSTEM).metadata.annotations == {}


def test_what_the_cluster_says_is_told_in_the_hubs_own_generation() -> None:
    hub, said = decided(), placed_status()

    orders = decide(placement=hub, mirror=mirrored(hub, pool=said.pool, deployment=said.deployment))

    assert orders.status is not None
    assert orders.status.pool == said.pool
    assert orders.status.deployment == said.deployment
    assert orders.status.observed_generation == 3
    assert {one.observed_generation for one in orders.status.conditions} == {3}
    told = hub.model_copy(update={"status": orders.status})
    again = decide(placement=told, mirror=mirrored(hub, pool=said.pool, deployment=said.deployment))
    assert again == MirrorOrders(), "the same is not told twice"


@pytest.mark.parametrize(
    ("before", "generation", "told"), [(2, 3, 2), (3, 3, 2), (0, 3, 0), (1, 1, 0), (-1, 1, -1)]
)
def test_what_the_cluster_says_of_an_earlier_decision_is_not_taken_for_the_latest(
    before: int, generation: int, told: int
) -> None:
    hub = changed(with_status(decided(), observed_generation=before), generation=generation)
    behind = with_status(mirrored(hub), observed_generation=6, pool="p")
    another = mirrored(decided(variant="q8_0"), pool="p")

    for mirror in (behind, another):
        orders = decide(placement=hub, mirror=mirror)
        assert orders.status is not None
        assert orders.status.pool == "p"
        assert orders.status.observed_generation == told


def test_a_problem_of_the_cluster_is_told_as_it_is() -> None:
    hub = decided()
    assert problem_in(decide(placement=hub, mirror=mirrored(hub, problem=REFUSED))) == REFUSED


def test_a_namespace_without_the_label_is_left_alone_and_said_how_to_label() -> None:
    orders = decide(accepted=False)

    said = problem_in(orders)
    assert orders.apply is None
    assert said.reason is Reason.NAMESPACE_NOT_ACCEPTED
    assert "kubectl label namespace team-a smallmodel.dev/accept-from=hub-1" in said.message
    assert "edge" in said.message


def test_what_runs_goes_on_where_a_namespace_takes_no_models_any_more() -> None:
    hub = with_status(decided(), observed_generation=3)

    same = decide(placement=hub, mirror=mirrored(hub), accepted=False)
    newer = decide(placement=hub, mirror=mirrored(decided(variant="q8_0")), accepted=False)

    assert (same.apply, same.delete) == (newer.apply, newer.delete) == (None, False)
    assert same.status is None or same.status.problem is None
    assert problem_in(newer).reason is Reason.NAMESPACE_NOT_ACCEPTED


def test_what_is_not_ours_is_never_written_over() -> None:
    orders = decide(there=Mirrored.FOREIGN)

    assert (orders.apply, orders.delete, orders.release) == (None, False, False)
    assert problem_in(orders).reason is Reason.NAME_CONFLICT


@pytest.mark.parametrize("harm", [{"contract": CONTRACT + 1}, {"variant": "q8_0"}])
def test_what_this_operator_does_not_understand_is_not_carried_on(harm: dict[str, Any]) -> None:
    hub = decided()
    spec = hub.spec.model_copy(update=harm)
    if "contract" in harm:
        spec = spec.model_copy(update={"spec_hash": spec_hash(spec)})
    hub = hub.model_copy(update={"spec": spec})

    orders = decide(placement=hub, mirror=mirrored(decided()))

    assert not is_whole(spec)
    assert (orders.apply, orders.delete) == (None, False)
    assert problem_in(orders).reason is Reason.AGENT_TOO_OLD


def test_a_mirror_that_is_not_whole_is_written_again() -> None:
    orders = decide(there=Mirrored.OURS, mirror=None)
    assert orders.apply is not None


def test_what_the_cluster_refused_is_said_while_it_is_tried_again() -> None:
    orders = decide(refused=REFUSED)

    assert orders.apply is not None
    assert problem_in(orders) == REFUSED


def test_a_problem_goes_once_it_is_over() -> None:
    hub = with_status(decided(), problem=REFUSED, observed_generation=3)

    orders = decide(placement=hub, mirror=mirrored(hub))

    assert orders.status is not None
    assert orders.status.problem is None


def test_a_mirror_that_somebody_deletes_is_made_again_when_it_is_gone() -> None:
    hub = decided()
    ending = changed(mirrored(hub), deletion_timestamp=ENDING)

    assert decide(placement=hub, mirror=ending).apply is None
    assert decide(placement=hub, mirror=None).apply is not None


def test_the_end_of_the_hubs_object_ends_its_mirror_once() -> None:
    hub = changed(decided(), deletion_timestamp=ENDING)
    mirror = mirrored(hub, pool="p")

    first = decide(placement=hub, mirror=mirror)
    second = decide(placement=hub, mirror=changed(mirror, deletion_timestamp=ENDING))

    assert (first.delete, first.release, first.apply) == (True, False, None)
    assert first.status is not None
    assert first.status.pool == "p"
    assert (second.delete, second.release) == (False, False)
    assert decide(placement=hub, there=Mirrored.OURS).delete, "one that cannot be read"


def test_the_hubs_object_goes_when_nothing_is_left_of_its_mirror() -> None:
    hub = changed(decided(), deletion_timestamp=ENDING)

    assert decide(placement=hub) == MirrorOrders(release=True)
    assert decide(placement=changed(hub, finalizers=())) == MirrorOrders()


def test_an_object_in_a_mirrors_place_keeps_only_what_may_still_be_served() -> None:
    never = changed(decided(), deletion_timestamp=ENDING)
    served = with_status(never, pool="p")

    assert decide(placement=never, there=Mirrored.FOREIGN).release
    kept = decide(placement=served, there=Mirrored.FOREIGN)
    assert not kept.release
    assert problem_in(kept).reason is Reason.NAME_CONFLICT


def test_a_mirror_without_the_hubs_object_is_an_orphan_and_left_as_it_is() -> None:
    mirror = mirrored(decided())

    assert decide(placement=None, mirror=mirror) == MirrorOrders(orphaned=True)
    assert decide(placement=None, mirror=mirror, unread=True) == MirrorOrders()
    assert decide(placement=None) == MirrorOrders()
    assert decide(placement=None, there=Mirrored.FOREIGN) == MirrorOrders()


STATUSES = st.builds(
    ModelPlacementStatus,
    pool=st.none() | st.just("p"),
    observed_generation=st.integers(0, 4),
    problem=st.none() | st.just(REFUSED),
)


@given(
    st.none() | st.booleans(),
    st.sampled_from(Mirrored),
    st.none() | st.booleans(),
    st.booleans(),
    st.booleans(),
    STATUSES,
)
def test_nothing_is_deleted_unless_the_hubs_object_was_seen_to_be_deleted(
    hub_ending: bool | None,
    there: Mirrored,
    mirror_ending: bool | None,
    accepted: bool,
    unread: bool,
    status: ModelPlacementStatus,
) -> None:
    placement = mirror = None
    if hub_ending is not None:
        placement = changed(decided(), deletion_timestamp=ENDING if hub_ending else None)
        placement = placement.model_copy(update={"status": status})
    if mirror_ending is not None and there is Mirrored.OURS:
        mirror = changed(mirrored(decided()), deletion_timestamp=ENDING if mirror_ending else None)

    orders = decide(
        placement=placement, there=there, mirror=mirror, accepted=accepted, unread=unread
    )

    if not hub_ending:
        assert not orders.delete
        assert not orders.release
    if there is not Mirrored.OURS:
        assert not orders.delete
    if there is Mirrored.OURS:
        assert not orders.release
    if there is Mirrored.FOREIGN:
        assert orders.apply is None
    if orders.apply is not None:
        assert accepted
        assert not hub_ending
    told = orders.status
    if placement is not None and told is not None:
        assert told != placement.status


def test_a_mirror_is_applied_with_the_uid_of_its_origin_and_its_finalizer() -> None:
    manifest = mirror_manifest(build_mirror(decided(), SYSTEM))

    assert manifest["metadata"]["annotations"] == {ANNOTATION_ORIGIN: "hub-uid"}
    assert manifest["metadata"]["finalizers"] == [FINALIZER]
    assert manifest["metadata"]["namespace"] == SYSTEM
    assert manifest["spec"] == placement_manifest(decided())["spec"]
