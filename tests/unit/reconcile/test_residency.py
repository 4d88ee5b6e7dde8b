"""The serving cluster's own check of where data may be read, whatever its hub believes."""

import pytest

from builders.fake_namespace import FakeNamespace, is_verified, served_by
from builders.placements import model_placement, placement_spec
from smallmodel_operator.api.modelplacement import PlacementResidency
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.reconcile.residency import residency_problem

GERMAN = PlacementResidency(jurisdictions=("DE", "FR"))

CHECKS: dict[str, tuple[PlacementResidency | None, str | None, bool]] = {
    "inside": (GERMAN, "DE", True),
    "outside": (GERMAN, "US", False),
    "a group is no country": (GERMAN, "EU", False),
    "no law": (None, "US", True),
    "the cluster says nothing of itself": (GERMAN, None, True),
}


@pytest.mark.parametrize("case", CHECKS)
def test_a_placement_is_served_where_its_law_allows(case: str) -> None:
    residency, jurisdiction, served = CHECKS[case]
    spec = placement_spec(residency=residency)
    assert (residency_problem(model_placement(spec=spec), jurisdiction) is None) is served


def test_the_message_has_both_sides_and_what_to_do() -> None:
    spec = placement_spec(residency=GERMAN, cluster="edge")
    problem = residency_problem(model_placement(spec=spec), "US")
    assert problem is not None
    assert problem.reason is Reason.RESIDENCY_REFUSED
    assert "allows DE, FR" in problem.message
    assert "it is in US" in problem.message
    assert "ModelCluster edge" in problem.message


def test_a_long_law_leaves_room_for_the_rest_of_the_message() -> None:
    many = tuple(f"{a}{b}" for a in "ABCDEFGHIJ" for b in "ABCDEFGHIJKLMNOPQRSTUVWXY")
    residency = PlacementResidency.model_construct(jurisdictions=many)
    problem = residency_problem(model_placement(spec=placement_spec(residency=residency)), "US")
    assert problem is not None
    assert "whichever is wrong" in problem.message


def test_what_the_cluster_refuses_is_never_started() -> None:
    fake = FakeNamespace().place("chat", residency=GERMAN).place("free")
    fake.sight["jurisdiction"] = "US"
    fake.settle()

    assert fake.models_of(fake.pool) == {"free"}
    assert is_verified(fake, "free")
    status = fake.placements["chat"].status
    assert status.problem is not None
    assert status.problem.reason is Reason.RESIDENCY_REFUSED
    assert (status.pool, status.deployment) == (None, None)
    (ready,) = (one for one in status.conditions if one.type == "Ready")
    assert (ready.status, ready.reason) == ("False", Reason.RESIDENCY_REFUSED)
    assert not fake.decide().statuses, "it is said once"


def test_what_a_cluster_refuses_alone_takes_no_pool_and_no_volume() -> None:
    fake = FakeNamespace().place("chat", residency=GERMAN)
    fake.sight["jurisdiction"] = "US"
    fake.settle()

    assert (fake.services, fake.jobs, fake.claim) == ({}, {}, False)


def test_what_runs_where_a_new_law_refuses_it_ends_at_once_and_the_others_stay() -> None:
    fake = served_by("chat", "embed")
    fake.sight["jurisdiction"] = "US"
    fake.place("chat", residency=GERMAN)
    fake.work()

    assert fake.models_of(fake.pool) == {"embed"}
    fake.world()
    assert is_verified(fake, "embed")


def test_it_comes_back_when_the_law_allows_it_again() -> None:
    fake = served_by("chat")
    fake.sight["jurisdiction"] = "US"
    fake.place("chat", residency=GERMAN)
    fake.settle()
    assert fake.services == {}

    fake.place("chat", residency=PlacementResidency(jurisdictions=("US",)))
    fake.settle()
    assert is_verified(fake, "chat")


def test_what_is_refused_can_be_deleted() -> None:
    fake = served_by("chat")
    fake.sight["jurisdiction"] = "US"
    fake.place("chat", residency=GERMAN)
    fake.settle()
    fake.delete("chat")
    fake.settle()
    assert fake.placements == {}
