"""`slm bundle`: what a hub decided is carried to a cluster that no line reaches, and told back."""

import copy
import json

import pytest

from builders.bundles import (
    DAMAGED,
    WRONG_WITHIN,
    content_of,
    decided,
    ending,
    manifest_of,
    placement_with,
    signed_anew,
    with_values,
)
from builders.fake_cluster import SYSTEM
from builders.gap import DECIDED, KEYS, MIRRORS, NAME, SECRET, STATE, Gap, agent, key_in
from builders.kube_objects import HUB
from builders.linked_clusters import cluster_path, kube_system
from builders.placements import placed_status
from smallmodel_operator.api.modelplacement import PlacementResidency
from smallmodel_operator.api.names import LABEL_ACCEPT_FROM, LABEL_HUB
from smallmodel_operator.cli.errors import ExitCode
from smallmodel_operator.clusters.signing import SigningKey
from smallmodel_operator.reconcile.bundle import Damaged


def test_the_hub_knows_the_cluster_by_its_first_file_and_never_as_connected(joined: Gap) -> None:
    done = joined.hear(joined.told())

    assert done.code == ExitCode.OK, done.err
    status = joined.status()
    assert (status["link"]["state"], status["link"]["clusterUID"]) == ("Bundled", "uid-edge")
    assert status["capacity"]["nodes"][0]["memory"] == "32768Mi"
    assert status["bundle"]["serial"] > 0
    told = {one["type"]: one for one in status["conditions"]}
    assert (told["Connected"]["status"], told["Connected"]["reason"]) == ("False", "Bundled")
    assert told["Schedulable"]["status"] == told["FactsFresh"]["status"] == "True"


def test_a_decision_is_carried_there_and_what_became_of_it_back(gap: Gap) -> None:
    file = gap.exported()
    done = gap.take(file)

    assert done.code == ExitCode.OK, done.err
    mirror = gap.mirror()
    assert mirror is not None
    assert mirror["spec"] == gap.hub.kube.objects[f"{DECIDED}/{NAME}"]["spec"]
    assert mirror["metadata"]["labels"][LABEL_HUB] == HUB
    said = placed_status(observed_generation=1).model_dump(
        mode="json", by_alias=True, exclude_none=True
    )
    mirror["metadata"]["generation"] = 1
    mirror["status"] = said

    done = gap.hear(gap.told())
    assert done.code == ExitCode.OK, done.err
    assert "1 of 1 placements have news" in done.out
    status = gap.hub.kube.objects[f"{DECIDED}/{NAME}"]["status"]
    assert status["pool"] == said["pool"]
    assert status["observedGeneration"] == 3
    assert gap.status()["bundle"]["applied"] == content_of(file)["serial"]


def test_what_is_none_of_the_hubs_stays_out_of_its_file(gap: Gap) -> None:
    stranger = manifest_of(decided("other"))
    stranger["metadata"]["labels"] = {}
    gap.hub.put(f"{DECIDED}/{stranger['metadata']['name']}", stranger)
    assert len(content_of(gap.exported())["placements"]) == 1


def test_the_same_file_may_be_taken_twice(gap: Gap) -> None:
    file = gap.exported()
    for words in ("1 new or changed", "0 new or changed"):
        done = gap.take(file)
        assert done.code == ExitCode.OK, done.err
        assert words in done.out


def test_what_is_deleted_on_the_hub_goes_there_and_then_may_go_here(gap: Gap) -> None:
    gap.take(gap.exported())
    gap.decide(ending(decided()))
    done = gap.take(gap.exported())
    assert done.code == ExitCode.OK, done.err
    assert gap.mirror() is None
    assert gap.hub.kube.objects[f"{DECIDED}/{NAME}"]["status"]["ended"] is False

    assert gap.hear(gap.told()).code == ExitCode.OK
    assert gap.hub.kube.objects[f"{DECIDED}/{NAME}"]["status"]["ended"] is True


def test_what_a_file_lacks_is_served_on_and_told_of(gap: Gap) -> None:
    gap.take(gap.exported())
    del gap.hub.kube.objects[f"{DECIDED}/{NAME}"]
    done = gap.take(gap.exported())

    assert done.code == ExitCode.OK
    assert f"served on: {NAME}" in done.err
    assert gap.mirror() is not None
    assert gap.hear(gap.told()).code == ExitCode.OK
    told = {one["type"]: one for one in gap.status()["conditions"]}
    assert told["Mirrored"]["reason"] == "Orphaned"


def test_an_older_file_needs_a_word_and_deletes_nothing(gap: Gap) -> None:
    gap.take(gap.exported())
    gap.decide(ending(decided()))
    older = gap.exported()
    gap.decide(decided(variant="q8_0", uid="another"))
    assert gap.take(gap.exported()).code == ExitCode.OK

    refused = gap.take(older)
    assert refused.code == ExitCode.UNFIT
    assert "--roll-back" in refused.err
    assert gap.take(older, "--roll-back").code == ExitCode.OK
    assert gap.mirror() is not None


def test_many_deletions_need_a_word(gap: Gap) -> None:
    names = [f"m{number}" for number in range(4)]
    for name in names:
        gap.decide(decided(name))
    assert gap.take(gap.exported()).code == ExitCode.OK
    for name in names:
        gap.decide(ending(decided(name)))
    file = gap.exported()

    refused = gap.take(file)
    assert refused.code == ExitCode.UNFIT
    assert "it ends 4 of 5 models" in refused.err
    assert all(gap.mirror(decided(name).metadata.name) for name in names)
    assert gap.take(file, "--allow-deletions").code == ExitCode.OK
    assert not any(gap.mirror(decided(name).metadata.name) for name in names)


def test_what_one_model_is_refused_for_stops_no_other(gap: Gap) -> None:
    agent(gap.edge, SMALLMODEL_CLUSTER_JURISDICTION="US")
    law = PlacementResidency(jurisdictions=("DE",))
    gap.decide(decided("home", residency=law))
    gap.decide(decided("away", namespace="other"))
    foreign = decided("taken").metadata.name
    gap.decide(decided("taken"))
    gap.edge.put(f"{MIRRORS}/{foreign}", {"metadata": {"name": foreign, "namespace": SYSTEM}})
    newer = manifest_of(decided("newer"))
    newer["spec"]["brandNew"] = 1
    newer["spec"]["specHash"] = "of-more"
    gap.hub.put(f"{DECIDED}/{newer['metadata']['name']}", newer)

    done = gap.take(gap.exported())

    assert done.code == ExitCode.FAILED
    assert "5 models" in done.out
    assert "4 refused" in done.out
    assert gap.mirror() is not None
    for reason in ("ResidencyRefused", "NamespaceNotAccepted", "NameConflict", "AgentTooOld"):
        assert reason in done.out
    assert f"{LABEL_ACCEPT_FROM}={HUB}" in done.out
    assert gap.mirror(decided("away", namespace="other").metadata.name) is None

    assert gap.hear(gap.told()).code == ExitCode.OK
    away = decided("away", namespace="other").metadata.name
    status = gap.hub.kube.objects[f"{DECIDED}/{away}"]["status"]
    assert status["problem"]["reason"] == "NamespaceNotAccepted"


def test_a_file_that_is_not_what_was_written_is_refused(gap: Gap) -> None:
    file, before = gap.exported(), copy.deepcopy(gap.edge.kube.objects)
    for what, (damage, words) in DAMAGED.items():
        done = gap.take(damage(file))
        assert done.code == ExitCode.INVALID_MANIFEST, what
        assert "hub.slm is not taken: " in done.err
        assert words in done.err
    assert gap.edge.kube.objects == before


def test_a_file_that_is_signed_is_not_taken_for_that(gap: Gap) -> None:
    key = SigningKey(key_in(gap.hub.kube.objects[KEYS], "hubKey"))
    file, before = gap.exported(), copy.deepcopy(gap.edge.kube.objects)
    for what, (change, error, words) in WRONG_WITHIN.items():
        done = gap.take(signed_anew(file, key, change))
        code = ExitCode.INVALID_MANIFEST if error is Damaged else ExitCode.UNFIT
        assert done.code == code, what
        assert words in done.err
    assert gap.edge.kube.objects == before


def test_a_later_format_is_told_apart_from_no_bundle(gap: Gap) -> None:
    done = gap.take(gap.exported().replace("/bundle 1\n", "/bundle 2\n", 1))
    assert done.code == ExitCode.UNFIT
    assert "this slm reads format 1" in done.err


def test_another_file_of_the_same_serial_is_refused(gap: Gap) -> None:
    file = gap.exported()
    key = SigningKey(key_in(gap.hub.kube.objects[KEYS], "hubKey"))
    assert gap.take(file).code == ExitCode.OK
    done = gap.take(signed_anew(file, key, placement_with(variant="q8_0")))
    assert done.code == ExitCode.UNFIT
    assert "which another file had" in done.err


def test_a_status_is_not_rolled_back_and_not_of_another_cluster(gap: Gap) -> None:
    older = gap.told()
    assert gap.hear(gap.told()).code == ExitCode.OK
    refused = gap.hear(older)
    assert refused.code == ExitCode.UNFIT
    assert "not rolled back" in refused.err

    key = SigningKey(key_in(gap.hub.kube.objects[KEYS], "memberKey"))
    refused = gap.hear(signed_anew(gap.told(), key, with_values(clusterUID="uid-x")))
    assert refused.code == ExitCode.UNFIT
    assert "with the UID uid-x" in refused.err


def test_one_cluster_is_not_two_by_files(joined: Gap) -> None:
    joined.edge.put("/api/v1/namespaces/kube-system", kube_system("uid-hub"))
    done = joined.hear(joined.told())
    assert done.code == ExitCode.USAGE
    assert "the hub's own cluster" in done.err


def test_a_hub_without_the_cluster_says_which_there_are(gap: Gap) -> None:
    file = gap.told()
    assert gap.slm("cluster", "remove", "edge", "--confirm", "edge").code == ExitCode.OK
    assert KEYS not in gap.hub.kube.objects
    done = gap.hear(file)
    assert done.code == ExitCode.NOT_FOUND
    assert "there is no ModelCluster 'edge'; there are: local" in done.err


def test_a_cluster_that_is_called_gets_no_files(joined: Gap) -> None:
    declared = joined.hub.kube.objects[cluster_path("edge")]
    declared["spec"]["connection"] = {"mode": "Pull"}
    done = joined.slm("bundle", "export", "edge")
    assert done.code == ExitCode.USAGE
    assert "is of mode Pull" in done.err
    declared["spec"]["connection"] = {"mode": "Bundle"}
    del joined.hub.kube.objects[KEYS]
    done = joined.slm("bundle", "export", "edge")
    assert done.code == ExitCode.USAGE
    assert "has no keys" in done.err


def test_a_file_is_for_one_cluster_that_was_seen(joined: Gap) -> None:
    done = joined.slm("bundle", "export", "edge")
    assert done.code == ExitCode.FAILED
    assert "`slm bundle export --status` there" in done.err


def test_a_cluster_without_agent_or_keys_says_where_they_come_from(unjoined: Gap) -> None:
    done = unjoined.slm("bundle", "export", "--status", *unjoined.there)
    assert done.code == ExitCode.NOT_FOUND
    assert "--secret-file FILE" in done.err
    path = f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/smallmodel-operator"
    del unjoined.edge.kube.objects[path]
    done = unjoined.slm("bundle", "export", "--status", *unjoined.there)
    assert done.code == ExitCode.NOT_FOUND
    assert "has no agent" in done.err


def test_keys_that_somebody_changed_are_told(gap: Gap) -> None:
    secret = gap.edge.kube.objects[SECRET]
    whole = secret["data"]["trustedKey"]
    file = gap.exported()
    for text, words in (
        ("YzJodmNuUT0=", "it has 5 bytes"),
        ("%%", "no usable"),
        ("JSUl", "base64"),
    ):
        secret["data"]["trustedKey"] = text
        done = gap.take(file)
        assert done.code == ExitCode.FAILED
        assert words in done.err
    secret["data"] |= {"trustedKey": whole, "signingKey": "JSUl"}
    done = gap.slm("bundle", "export", "--status", *gap.there)
    assert (done.code, done.out) == (ExitCode.FAILED, "")
    assert "cannot be used" in done.err


def test_what_was_taken_last_is_not_forgotten_silently(gap: Gap) -> None:
    assert gap.take(gap.exported()).code == ExitCode.OK
    gap.edge.kube.objects[STATE]["data"]["taken"] = json.dumps({"serial": "many"})
    done = gap.take(gap.exported())
    assert done.code == ExitCode.FAILED
    assert "which file was taken last" in done.err


WRONG = {
    "nobody": ((), "say what is written"),
    "both": (("edge", "--status"), "say what is written"),
}


@pytest.mark.parametrize(("words", "said"), WRONG.values(), ids=WRONG)
def test_export_asks_what_is_meant(gap: Gap, words: tuple[str, ...], said: str) -> None:
    done = gap.slm("bundle", "export", *words)
    assert done.code == ExitCode.USAGE
    assert said in done.err


def test_a_file_that_is_not_there_is_told(gap: Gap) -> None:
    done = gap.slm("bundle", "import", "/nowhere/at/all", *gap.there)
    assert done.code == ExitCode.INVALID_MANIFEST
    assert "/nowhere/at/all cannot be read" in done.err
