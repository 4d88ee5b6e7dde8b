"""What comes in of the placements of one cluster."""

from builders.placements import model_placement, placed_status
from builders.told_objects import HUB, TEAM, placement
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import LABEL_HUB
from smallmodel_operator.handlers.placements import Placements
from smallmodel_operator.plan.placements import placement_manifest, spec_hash
from smallmodel_operator.reconcile.mirror import is_whole


def stores() -> Placements:
    return Placements(hub_id=HUB)


def test_a_placement_is_known_by_its_model_and_only_if_it_is_ours() -> None:
    known = stores()

    assert known.see(placement(), gone=False) == (TEAM, "chat")
    assert [each.spec.model.name for each in known.within(TEAM)] == ["chat"]
    foreign = placement("embed")
    foreign["metadata"]["labels"] = {}
    assert known.see(foreign, gone=False) is None
    assert known.within("other") == ()
    known.see(placement(), gone=True)
    assert not known.by_model


def test_an_event_that_was_overtaken_by_our_own_write_changes_nothing() -> None:
    known = stores()
    late, newer, another = placement(), placement(), placement()
    late["metadata"] |= {"uid": "u1", "resourceVersion": "99"}
    newer["metadata"] |= {"uid": "u1", "resourceVersion": "100"}
    newer["status"] = {"pool": "p"}
    another["metadata"] |= {"uid": "u2", "resourceVersion": "7"}

    known.see(newer, gone=False)
    known.see(late, gone=False)
    assert known.by_model[TEAM, "chat"].status.pool == "p"

    known.see(another, gone=False)
    assert known.by_model[TEAM, "chat"].status.pool is None, "another object of the same name"


def test_the_placements_of_a_pool_are_counted_as_they_come_change_and_go() -> None:
    known = stores()
    known.see(placement("chat", pool="p"), gone=False)
    known.see(placement("embed", pool="p"), gone=False)
    known.see(placement("draft"), gone=False)
    assert known.assigned[TEAM, "p"] == 2

    known.see(placement("chat", pool="q"), gone=False)
    known.see(placement("embed"), gone=True)
    assert (known.assigned[TEAM, "p"], known.assigned[TEAM, "q"]) == (0, 1)


def test_a_placement_that_cannot_be_read_is_remembered_until_it_can_or_is_gone() -> None:
    known = stores()
    known.see(placement(), gone=False)
    newer = placement()
    newer["spec"]["engine"] = "AnotherEngine"

    assert known.see(newer, gone=False) == (TEAM, "chat")
    assert known.unread == {(TEAM, "chat")}
    assert not known.by_model
    known.see(placement(), gone=False)
    assert not known.unread
    known.see(newer, gone=False)
    known.see(newer, gone=True)
    assert not known.unread


def test_a_status_that_the_operator_wrote_is_read_back_whole() -> None:
    known = stores()
    made = model_placement(placed_status())
    manifest = placement_manifest(made) | {
        "status": made.status.model_dump(mode="json", by_alias=True, exclude_none=True)
    }
    manifest["metadata"]["labels"] = {LABEL_HUB: HUB}

    known.see(manifest, gone=False)

    assert known.by_model["team", "chat"].status == made.status


def test_what_a_newer_program_wrote_is_read_without_what_is_not_known() -> None:
    newer = placement()
    newer["spec"]["newField"] = {"of": "tomorrow"}
    newer["status"] = {"alsoNew": True}

    strict, lenient = stores(), Placements(hub_id=HUB, lenient=True)
    for known in (strict, lenient):
        known.see(newer, gone=False)
    assert strict.unread == {(TEAM, "chat")}
    assert lenient.unread == set()
    assert lenient.by_model[TEAM, "chat"].spec.cluster == newer["spec"]["cluster"]


def test_what_was_left_out_of_a_placement_shows_in_its_hash() -> None:
    whole = placement()
    spec = ModelPlacement.model_validate(whole).spec
    whole["spec"]["specHash"] = spec_hash(spec)
    newer = {**whole, "spec": {**whole["spec"], "specHash": "another", "newField": 1}}
    known = Placements(hub_id=HUB, lenient=True)

    known.see(whole, gone=False)
    assert is_whole(known.by_model[TEAM, "chat"].spec)
    newer["metadata"] = {**whole["metadata"], "resourceVersion": "999"}
    known.see(newer, gone=False)
    assert not is_whole(known.by_model[TEAM, "chat"].spec)
