"""A cluster that was removed unseen and joins again is cleaned of what nobody wants there."""

import json
from typing import Any

import pytest

from builders.bundles import decided, ending, manifest_of
from builders.fake_cluster import SYSTEM
from builders.gap import DECIDED, JOIN, MIRRORS, NAME, Gap
from builders.kube_objects import HUB
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import LABEL_HUB
from smallmodel_operator.cli.errors import ExitCode
from support.command_line import Outcome

DEBTS = f"/api/v1/namespaces/{SYSTEM}/configmaps/smallmodel-debts"
ELSEWHERE = DECIDED.replace("slm-cluster-edge", "slm-cluster-local")
MODELS = "/apis/smallmodel.dev/v1alpha1/namespaces/team/smallmodels"


def owe(gap: Gap, *names: str, debtor: str = "edge", uid: str | None = "uid-edge") -> None:
    """Have the cluster have models that the hub wrote down when it was removed."""
    for name in names:
        mirror = manifest_of(decided(name))
        mirror["metadata"] |= {"namespace": SYSTEM, "labels": {LABEL_HUB: HUB}}
        gap.edge.put(f"{MIRRORS}/{mirror['metadata']['name']}", mirror)
    debt = {
        "clusterUID": uid,
        "removedAt": "2026-11-01T00:00:00Z",
        "placements": sorted(decided(name).metadata.name for name in names),
    }
    data = {debtor: json.dumps(debt), "by-hand": "ask Ada"}
    gap.hub.put(DEBTS, {"metadata": {"name": "smallmodel-debts"}, "data": data})


def wish(gap: Gap, name: str = "chat") -> None:
    """Have the SmallModel be there."""
    metadata = {"name": name, "namespace": "team"}
    gap.hub.put(f"{MODELS}/{name}", {"kind": "SmallModel", "metadata": metadata, "spec": {}})


def place(gap: Gap, where: str, placement: ModelPlacement) -> None:
    manifest = manifest_of(placement)
    namespace = where.split("/")[5]
    manifest["metadata"]["namespace"] = namespace
    gap.hub.put(f"{where}/{placement.metadata.name}", manifest)


def join(gap: Gap, *words: str) -> Outcome:
    done = gap.slm(*JOIN, *(words or gap.there))
    assert done.code == ExitCode.OK, done.err
    return done


def owed(gap: Gap, debtor: str = "edge") -> list[str] | None:
    """Return what the hub still has in mind."""
    text: Any = gap.hub.kube.objects[DEBTS]["data"].get(debtor)
    return json.loads(text)["placements"] if text else None


def test_a_model_that_is_no_more_ends_and_is_struck_off(unjoined: Gap) -> None:
    owe(unjoined, "chat")
    done = join(unjoined)
    assert "team/chat from before it was removed is not wanted there any more" in done.out
    assert "nothing is owed by edge any more" in done.out
    assert unjoined.mirror() is None
    assert owed(unjoined) is None
    assert unjoined.hub.kube.objects[DEBTS]["data"] == {"by-hand": "ask Ada"}


def test_a_model_that_is_placed_there_again_goes_on(unjoined: Gap) -> None:
    owe(unjoined, "chat")
    place(unjoined, DECIDED, decided())
    join(unjoined)
    assert unjoined.mirror() is not None
    assert owed(unjoined) is None


def test_a_model_that_is_placed_elsewhere_alone_ends(unjoined: Gap) -> None:
    owe(unjoined, "chat")
    wish(unjoined)
    place(unjoined, ELSEWHERE, decided())
    join(unjoined)
    assert unjoined.mirror() is None
    assert owed(unjoined) is None


def test_a_model_of_which_nobody_decided_yet_goes_on_and_is_kept_in_mind(unjoined: Gap) -> None:
    owe(unjoined, "chat")
    wish(unjoined)
    done = join(unjoined)
    assert "1 models from before it was removed go on there" in done.out
    assert unjoined.mirror() is not None
    assert owed(unjoined) == [NAME]

    place(unjoined, ELSEWHERE, decided())
    join(unjoined)
    assert unjoined.mirror() is None
    assert owed(unjoined) is None


def test_what_is_being_deleted_on_the_hub_ends_by_itself(unjoined: Gap) -> None:
    owe(unjoined, "chat")
    place(unjoined, DECIDED, ending(decided()))
    join(unjoined)
    assert unjoined.mirror() is not None
    assert owed(unjoined) == [NAME]


@pytest.mark.parametrize("labels", [{}, {LABEL_HUB: "hub-x"}])
def test_what_is_none_of_ours_is_not_touched(unjoined: Gap, labels: dict[str, str]) -> None:
    owe(unjoined, "chat")
    mirror = unjoined.mirror()
    assert mirror is not None
    mirror["metadata"]["labels"] = labels
    join(unjoined)
    assert unjoined.mirror() is not None
    assert owed(unjoined) is None


def test_many_do_not_end_without_a_word(unjoined: Gap) -> None:
    names = [f"m{number}" for number in range(5)]
    owe(unjoined, *names)
    done = join(unjoined)
    assert "5 of 5 models from before it was removed are not wanted there any more" in done.out
    assert all(unjoined.mirror(decided(name).metadata.name) for name in names)
    assert len(owed(unjoined) or ()) == 5

    join(unjoined, *unjoined.there, "--allow-deletions")
    assert not any(unjoined.mirror(decided(name).metadata.name) for name in names)
    assert owed(unjoined) is None


def test_a_cluster_is_known_by_its_uid_whatever_its_name_was(unjoined: Gap) -> None:
    owe(unjoined, "chat", debtor="before")
    assert "nothing is owed by before any more" in join(unjoined).out
    assert unjoined.mirror() is None

    owe(unjoined, "chat", debtor="edge", uid="uid-of-another")
    join(unjoined)
    assert unjoined.mirror() is not None, "the one of that name is another cluster now"
    assert owed(unjoined) == [NAME]


def test_one_that_no_hub_ever_saw_is_known_by_its_name(unjoined: Gap) -> None:
    owe(unjoined, "chat", uid=None)
    join(unjoined)
    assert unjoined.mirror() is None


def test_a_cluster_that_cannot_be_reached_is_told_to_be_joined_again(unjoined: Gap) -> None:
    owe(unjoined, "chat")
    done = join(unjoined, "--secret-file", "-")
    assert "edge was removed at 2026-11-01T00:00:00Z with 1 models" in done.err
    assert owed(unjoined) == [NAME]
