"""What follows from a file is what would have followed from a line, and less where it is unsure."""

from typing import Any

import pytest

from builders.bundles import decided, ending, manifest_of
from builders.placements import placed_status
from smallmodel_operator.api.bundle import (
    PlacementBundle,
    StatusBundle,
    TakenBundle,
    TakenPlacement,
)
from smallmodel_operator.api.modelcluster import ModelClusterStatus
from smallmodel_operator.api.modelplacement import (
    ModelPlacement,
    ModelPlacementStatus,
    PlacementResidency,
    Problem,
)
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.reconcile.bundle import Unfit
from smallmodel_operator.reconcile.carrying import (
    Import,
    MemberSight,
    Step,
    check_deletions,
    check_serial,
    decide_import,
    decide_told,
    gone,
    taken,
)
from smallmodel_operator.reconcile.mirror import MirrorOrders, build_mirror

NOW = "2026-11-29T12:00:00Z"
SYSTEM = "smallmodel-system"
NAME = decided().metadata.name
HEAD: dict[str, Any] = {
    "hub_id": "hub-1",
    "cluster": "edge",
    "cluster_uid": "uid-edge",
    "contract": 1,
    "serial": 7,
    "exported_at": NOW,
}


def file_of(*placements: ModelPlacement) -> PlacementBundle:
    return PlacementBundle(**HEAD, placements=tuple(manifest_of(one) for one in placements))


def mirror_of(placement: ModelPlacement, **metadata: Any) -> ModelPlacement:
    made = build_mirror(placement, SYSTEM)
    known = made.metadata.model_copy(update={"generation": 2, **metadata})
    return made.model_copy(update={"metadata": known})


def sight(*mirrors: ModelPlacement, **changes: Any) -> MemberSight:
    values: dict[str, Any] = {
        "namespace": SYSTEM,
        "mirrors": {one.metadata.name: one for one in mirrors},
        "foreign": frozenset(),
        "accepting": frozenset({"team"}),
        "jurisdiction": None,
    }
    return MemberSight(**values | changes)


def step_of(
    placement: ModelPlacement, seen: MemberSight | None = None, *, deletes: bool = True
) -> Step:
    coming = decide_import(file_of(placement), seen or sight(), NOW, deletes=deletes)
    (step,) = coming.steps
    return step


def test_a_new_placement_is_mirrored() -> None:
    step = step_of(decided())
    assert step.orders.apply == build_mirror(decided(), SYSTEM)
    assert (step.model, step.uid, step.problem, step.refused) == (
        "team/chat",
        "uid-chat",
        None,
        None,
    )


def test_one_that_is_there_already_is_left_as_it_is() -> None:
    step = step_of(decided(), sight(mirror_of(decided())))
    assert step.orders.apply is None
    assert step.problem is None


def test_one_that_is_on_its_way_out_is_no_problem() -> None:
    mirror = mirror_of(decided(variant="q8_0"), deletion_timestamp=NOW)
    step = step_of(decided(), sight(mirror))
    assert (step.orders.apply, step.problem) == (None, None)


def test_only_what_the_hub_says_is_being_deleted_goes() -> None:
    mirror = mirror_of(decided())
    assert step_of(ending(decided()), sight(mirror)).orders.delete
    assert not step_of(ending(decided()), sight(mirror), deletes=False).orders.delete
    coming = decide_import(file_of(), sight(mirror), NOW, deletes=True)
    assert (coming.steps, coming.orphans) == ((), (NAME,))


def test_what_speaks_against_a_placement_is_kept() -> None:
    unaccepted = step_of(decided(namespace="other"))
    foreign = step_of(decided(), sight(foreign=frozenset({NAME})))
    for step, reason in (
        (unaccepted, Reason.NAMESPACE_NOT_ACCEPTED),
        (foreign, Reason.NAME_CONFLICT),
    ):
        assert step.orders.apply is None
        assert step.problem is not None
        assert step.problem.reason is reason


def test_what_cannot_be_read_goes_on_as_it_is() -> None:
    manifest = manifest_of(decided())
    manifest["spec"]["engine"] = "OfTomorrow"
    bundle = PlacementBundle(**HEAD, placements=(manifest,))
    (step,) = decide_import(bundle, sight(mirror_of(decided())), NOW, deletes=True).steps
    assert step.orders == MirrorOrders()
    assert step.problem is not None
    assert step.problem.reason is Reason.AGENT_TOO_OLD


def test_a_law_is_compared_with_the_clusters_own_word_and_carried_all_the_same() -> None:
    bound = decided(residency=PlacementResidency(jurisdictions=("DE",)))
    step = step_of(bound, sight(jurisdiction="US"))
    # The agent ends what runs there already once it has the law.
    assert step.orders.apply is not None
    assert step.refused is not None
    assert step.refused.reason is Reason.RESIDENCY_REFUSED
    assert step_of(bound, sight(jurisdiction="DE")).refused is None


def deletions_of(count: int) -> Import:
    step = step_of(ending(decided()), sight(mirror_of(decided())))
    return Import(steps=(step,) * count, orphans=())


@pytest.mark.parametrize(
    ("count", "mirrors", "is_many"),
    [(3, 4, False), (4, 4, True), (10, 100, False), (11, 100, True), (6, 8, True)],
)
def test_many_deletions_are_not_taken_for_a_wish(count: int, mirrors: int, is_many: bool) -> None:
    if not is_many:
        check_deletions(deletions_of(count), mirrors)
        return
    with pytest.raises(Unfit, match=f"it ends {count} of {mirrors} models"):
        check_deletions(deletions_of(count), mirrors)


def test_a_file_may_be_newer_or_the_same_again() -> None:
    before = TakenBundle(serial=7, digest="a", exported_at=NOW)
    head = file_of()
    check_serial(TakenBundle(), head, "a", roll_back=False)
    check_serial(before, head, "a", roll_back=False)
    with pytest.raises(Unfit, match="another file had"):
        check_serial(before, head, "b", roll_back=False)
    later = before.model_copy(update={"serial": 8})
    with pytest.raises(Unfit, match="--roll-back"):
        check_serial(later, head, "b", roll_back=False)
    check_serial(later, head, "b", roll_back=True)


def test_what_was_taken_is_remembered_by_name() -> None:
    steps = [step_of(ending(decided())), step_of(decided("a", namespace="other"))]
    known = taken(file_of(), "digest", TakenBundle(told=5), steps)
    assert (known.serial, known.digest, known.told) == (7, "digest", 5)
    assert known.placements[NAME] == TakenPlacement(uid="uid-chat", ending=True)
    assert {one.problem is None for one in known.placements.values()} == {True, False}


def test_only_what_ended_and_is_gone_may_go_on_the_hub() -> None:
    known = TakenBundle(
        placements={
            "stays": TakenPlacement(uid="1"),
            "drains": TakenPlacement(uid="2", ending=True),
            "done": TakenPlacement(uid="3", ending=True),
        }
    )
    assert gone(known, {"drains", "another"}) == ("3",)


def told(*mirrors: dict[str, Any], **changes: Any) -> StatusBundle:
    return StatusBundle(**HEAD, status=ModelClusterStatus(), mirrors=mirrors, **changes)


def with_status(placement: ModelPlacement, **status: Any) -> ModelPlacement:
    values = {"observed_generation": 2, **status}
    return placement.model_copy(update={"status": placed_status(**values)})


def test_what_the_cluster_says_is_told_in_the_hubs_generation_and_once() -> None:
    mirror = manifest_of(with_status(mirror_of(decided())))
    (status,) = decide_told(told(mirror), [decided()], NOW).values()
    assert status.pool == placed_status().pool
    assert status.observed_generation == 3
    again = decided().model_copy(update={"status": status})
    assert decide_told(told(mirror), [again], NOW) == {}


def test_why_a_placement_was_not_taken_is_told() -> None:
    problem = Problem(reason=Reason.NAMESPACE_NOT_ACCEPTED, message="label it")
    (status,) = decide_told(told(refused={NAME: problem}), [decided()], NOW).values()
    assert status.problem == problem


def test_a_mirror_that_cannot_be_read_tells_nothing() -> None:
    mirror = manifest_of(with_status(mirror_of(decided())))
    mirror["status"]["pool"] = 7
    known = decided().model_copy(update={"status": ModelPlacementStatus(pool="before")})
    (status,) = decide_told(told(mirror), [known], NOW).values()
    assert status.pool == "before"


@pytest.mark.parametrize(
    ("uids", "is_ended"), [(("uid-chat",), True), (("of another",), False), ((), False)]
)
def test_the_hubs_object_may_go_once_the_cluster_said_so_of_that_very_one(
    uids: tuple[str, ...], is_ended: bool
) -> None:
    statuses = decide_told(told(gone=uids), [ending(decided())], NOW)
    assert any(status.ended for status in statuses.values()) is is_ended
    stays = decide_told(told(gone=("uid-chat",)), [decided()], NOW)
    assert not any(status.ended for status in stays.values())
