"""The hub knows which clusters it can work on, and works on no other."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from builders.fake_kube_api import refuse
from builders.linked_clusters import (
    HUB,
    LEASE,
    SYSTEM,
    Linked,
    cluster_path,
    kube_system,
    linked,
    secret_path,
)
from smallmodel_operator.api.names import LABEL_HUB
from smallmodel_operator.clusters import credentials, errors
from smallmodel_operator.clusters.credentials import Credentials, read_kubeconfig
from smallmodel_operator.clusters.ref import NAMESPACES
from smallmodel_operator.handlers import canary
from support.waiting import eventually

SOMETHING = NAMESPACES.ref("kube-system")


@pytest.fixture
async def hub() -> AsyncIterator[Linked]:
    async with linked() as made:
        yield made


def condition(hub: Linked, name: str, kind: str) -> str:
    (found,) = (one for one in hub.cluster(name).status.conditions if one.type == kind)
    return found.status


def writes(hub: Linked) -> int:
    return hub.hub.methods["PATCH"]


async def test_a_cluster_that_answers_is_given_away_with_its_client(hub: Linked) -> None:
    edge = await hub.join("edge")
    await hub.look()

    assert hub.told == [("connected", "edge")]
    assert hub.said("edge") == ("Connected", "Connected")
    assert condition(hub, "edge", "Connected") == "True"
    link = hub.cluster("edge").status.link
    assert link is not None
    assert link.cluster_uid == "uid-edge"
    lease = edge.kube.objects[LEASE]
    assert lease["spec"]["holderIdentity"] == HUB.identity
    assert lease["metadata"]["labels"][LABEL_HUB] == HUB.hub_id
    found = await hub.apis["edge"].get(SOMETHING)
    assert found is not None
    assert found["metadata"]["uid"] == "uid-edge"


async def test_a_canary_reads_and_writes_and_tells_nobody_what_is_as_before(hub: Linked) -> None:
    edge = await hub.join("edge")
    await hub.look()
    before = writes(hub)
    first = edge.kube.objects[LEASE]["spec"]["renewTime"]
    await hub.look(5)

    assert edge.kube.objects[LEASE]["spec"]["renewTime"] > first
    assert writes(hub) == before
    assert hub.told == [("connected", "edge")]


async def test_a_cluster_that_is_cut_off_is_called_no_more(hub: Linked) -> None:
    edge = await hub.join("edge")
    await hub.look()
    edge.cut = True
    await hub.look(2)
    assert hub.told == [("connected", "edge")]
    await hub.look()

    assert hub.told == [("connected", "edge"), ("disconnected", "edge")]
    assert hub.said("edge") == ("Unreachable", "Unreachable")
    assert condition(hub, "edge", "Schedulable") == "False"
    edge.cut = False
    asked = len(edge.kube.seen)
    with pytest.raises(errors.Unreachable, match="cluster edge is Unreachable"):
        await hub.apis["edge"].get(SOMETHING)
    assert len(edge.kube.seen) == asked


async def test_it_is_given_away_again_after_three_canaries(hub: Linked) -> None:
    edge = await hub.join("edge")
    edge.cut = True
    await hub.look()
    edge.cut = False
    await hub.look(2)
    assert hub.told == []
    await hub.look()

    assert hub.told == [("connected", "edge")]
    assert hub.said("edge")[0] == "Connected"


async def test_a_new_token_is_used_without_a_restart_and_without_a_gap(hub: Linked) -> None:
    edge = await hub.join("edge")
    await hub.look()
    edge.token = "another-token"
    hub.keep_secret("edge")
    await hub.look()

    assert hub.told == [("connected", "edge")]
    assert await hub.apis["edge"].get(SOMETHING) is not None
    assert hub.said("edge")[0] == "Connected"


async def test_a_new_token_that_does_not_work_replaces_none_that_does(hub: Linked) -> None:
    await hub.join("edge")
    await hub.look()
    hub.keep_secret("edge", token="mistyped")
    await hub.look(2)
    assert await hub.apis["edge"].get(SOMETHING) is not None
    await hub.look()

    assert hub.told == [("connected", "edge"), ("disconnected", "edge")]
    assert hub.said("edge") == ("CredentialError", "Unauthorized")


async def test_a_secret_that_is_deleted_and_made_anew_cuts_nothing(hub: Linked) -> None:
    await hub.join("edge")
    await hub.look()
    kept = hub.hub.objects.pop(secret_path("edge"))
    await hub.look()
    hub.hub.put(secret_path("edge"), kept)
    await hub.look()

    assert hub.told == [("connected", "edge")]
    assert hub.said("edge")[0] == "Connected"


MISSING: dict[str, Any] = {
    "no Secret": None,
    "another key": {"other": "YQ=="},
    "no text": {"kubeconfig": "%"},
}


@pytest.mark.parametrize("data", MISSING.values(), ids=MISSING)
async def test_a_kubeconfig_that_is_gone_is_told(hub: Linked, data: dict[str, str] | None) -> None:
    await hub.join("edge")
    await hub.look()
    kept = hub.hub.objects.pop(secret_path("edge"))
    if data is not None:
        hub.hub.put(secret_path("edge"), kept | {"data": data})
    await hub.look(3)

    assert hub.told[-1] == ("disconnected", "edge")
    assert hub.said("edge") == ("CredentialError", "KubeconfigMissing")


async def test_a_kubeconfig_that_asks_for_too_much_reaches_nobody(hub: Linked) -> None:
    edge = await hub.member("edge")
    hub.keep_secret("edge", exec={"command": "sh"})
    hub.declare("edge")
    await hub.look()

    assert hub.said("edge") == ("CredentialError", "KubeconfigRefused")
    link = hub.cluster("edge").status.link
    assert link is not None
    assert f"Secret {SYSTEM}/edge" in link.message
    assert "users[0].user.exec" in link.message
    assert (edge.kube.seen, hub.told) == ([], [])


ANSWERS = {
    "who": (refuse(401), "CredentialError", "Unauthorized"),
    "not you": (refuse(403), "CredentialError", "Forbidden"),
    "no namespace": (
        refuse(404, "NotFound", "no", details={"kind": "namespaces", "name": SYSTEM}),
        "CredentialError",
        "NotPrepared",
    ),
    "it failed": (refuse(500), "Unreachable", "Unreachable"),
    "it is busy": (refuse(503), "Unreachable", "Unreachable"),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_why_a_write_failed_is_told(hub: Linked, case: str) -> None:
    reply, state, reason = ANSWERS[case]
    edge = await hub.join("edge")
    # The UID, the namespace and the Lease are read, and writing fails.
    edge.kube.replies = [None, None, None, reply]
    await hub.look()
    assert hub.said("edge") == (state, reason)


async def test_an_address_without_a_cluster_is_no_cluster(hub: Linked) -> None:
    edge = await hub.join("edge")
    del edge.kube.objects["/api/v1/namespaces/kube-system"]
    await hub.look()
    assert hub.said("edge") == ("Unreachable", "Unreachable")
    assert not edge.leased


async def test_the_operators_own_cluster_is_no_other(hub: Linked) -> None:
    twin = await hub.member("edge", uid="uid-hub")
    hub.keep_secret("edge")
    hub.declare("edge")
    await hub.look()

    assert hub.said("edge") == ("CredentialError", "DuplicateCluster")
    assert (twin.leased, hub.told) == (False, [])


async def test_one_cluster_is_one_modelcluster(hub: Linked) -> None:
    await hub.join("edge")
    await hub.look()
    twin = await hub.member("twin", uid="uid-edge")
    hub.keep_secret("twin")
    hub.declare("twin")
    await hub.settled()

    assert hub.said("twin") == ("CredentialError", "DuplicateCluster")
    assert "ModelCluster edge" in str(hub.cluster("twin").status.link)
    assert (twin.leased, hub.told) == (False, [("connected", "edge")])
    hub.links.forget("edge")
    await hub.look(3)
    assert hub.told[-1] == ("connected", "twin")


async def test_another_cluster_at_the_same_address_is_not_written_to(hub: Linked) -> None:
    edge = await hub.join("edge")
    await hub.look()
    edge.kube.put("/api/v1/namespaces/kube-system", kube_system("uid-new"))
    del edge.kube.objects[LEASE]
    await hub.look(3)

    assert hub.said("edge") == ("CredentialError", "AnotherCluster")
    assert not edge.leased
    message = str(hub.cluster("edge").status.link)
    assert "uid-new" in message
    assert "spec.connection.clusterUID" in message
    hub.declare("edge", clusterUID="uid-new")
    await hub.look(3)
    assert hub.said("edge")[0] == "Connected"
    assert edge.leased


async def test_a_cluster_that_hangs_delays_no_other(
    hub: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "CANARY_SECONDS", 3.0)
    slow = await hub.join("slow")
    await hub.join("edge")
    slow.hung = asyncio.Event()
    await hub.look()

    assert ("connected", "edge") in hub.told
    # Its own canary ends by itself.
    slow_link = hub.link("slow")
    await eventually(lambda: slow_link.failures == 1, "the canary is given up")
    assert slow_link.state == "Unreachable"
    slow.hung.set()


async def test_another_process_goes_on_from_the_status(hub: Linked) -> None:
    edge = await hub.join("edge")
    await hub.look()
    edge.cut = True
    await hub.look(3)
    since = hub.cluster("edge").status.link
    await hub.close()
    hub.told.clear()
    edge.cut = False
    hub.restart()
    hub.see("edge")
    await hub.look(2)

    assert hub.cluster("edge").status.link == since
    assert hub.told == []
    await hub.look()
    assert hub.told == [("connected", "edge")]


async def test_a_restart_while_a_cluster_is_away_gives_it_to_nobody(hub: Linked) -> None:
    edge = await hub.join("edge")
    await hub.look()
    await hub.close()
    hub.told.clear()
    edge.cut = True
    hub.restart()
    hub.see("edge")
    await hub.look()

    assert hub.said("edge")[0] == "Connected"
    assert hub.told == []


async def test_the_hubs_own_trouble_is_not_the_clusters(hub: Linked) -> None:
    await hub.join("edge")
    await hub.look()
    hub.hub.replies = [refuse(403)] * 3
    await hub.look(3)

    assert hub.told == [("connected", "edge")]
    assert hub.said("edge")[0] == "Connected"


async def test_a_cluster_whose_secret_was_never_read_waits(hub: Linked) -> None:
    await hub.join("edge")
    hub.hub.replies = [None, refuse(403)]
    await hub.look()
    assert hub.cluster("edge").status.link is None
    assert condition(hub, "edge", "Connected") == "Unknown"
    await hub.look()
    assert hub.told == [("connected", "edge")]


async def test_a_modelcluster_that_is_gone_is_let_go(hub: Linked) -> None:
    edge = await hub.join("edge")
    await hub.look()
    del hub.hub.objects[cluster_path("edge")]
    hub.links.forget("edge")
    await eventually(lambda: hub.told[-1] == ("disconnected", "edge"), "it is told")
    asked = len(edge.kube.seen)
    hub.clock.turn(60)
    assert list(hub.links) == []
    assert len(edge.kube.seen) == asked


@pytest.mark.parametrize(
    ("mode", "status"), [("Pull", "Unknown"), ("Local", "False")], ids=["pulled", "no other"]
)
async def test_a_cluster_that_is_not_called_is_told_so(hub: Linked, mode: str, status: str) -> None:
    edge = await hub.join("edge")
    await hub.look()
    hub.declare("edge", mode=mode, kubeconfigSecretRef=None)
    asked = len(edge.kube.seen)
    await hub.look(2)

    assert hub.told == [("connected", "edge"), ("disconnected", "edge")]
    assert condition(hub, "edge", "Connected") == status
    # What is no longer applied is removed, which the fake does not do.
    written = [one.body for one in hub.hub.seen if one.path == f"{cluster_path('edge')}/status"]
    assert "link" in written[0]["status"]
    assert "link" not in written[-1]["status"]
    assert len(edge.kube.seen) == asked


async def test_the_operators_own_cluster_has_no_link(hub: Linked) -> None:
    hub.declare("local", mode="Local", kubeconfigSecretRef=None)
    assert list(hub.links) == []


async def test_a_status_that_somebody_else_wrote_meanwhile_is_read_again(hub: Linked) -> None:
    await hub.join("edge")
    # After the hub's UID, the Secret and the ModelCluster.
    hub.hub.replies = [None, None, None, refuse(409, "Conflict")]
    await hub.look()
    assert hub.said("edge")[0] == "Connected"


async def test_a_defect_of_one_link_ends_no_other(
    hub: Linked, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await hub.join("edge")
    await hub.join("odd")
    odd = hub.link("odd")
    monkeypatch.setattr(odd, "look", lambda: 1 / 0)
    await hub.look(2)

    assert hub.told == [("connected", "edge")]
    assert "the link to odd failed by a defect" in caplog.text


async def test_the_hub_learns_its_own_uid_before_it_calls_anybody(hub: Linked) -> None:
    edge = await hub.join("edge")
    hub.hub.replies = [refuse(403)]
    hub.task = asyncio.create_task(hub.links.run())
    await eventually(lambda: hub.clock.sleeping == 1, "it waits")
    assert edge.kube.seen == []
    await hub.look()
    assert hub.told == [("connected", "edge")]


async def test_a_cluster_says_itself_whose_law_holds_there(hub: Linked) -> None:
    edge = await hub.join("edge")
    await hub.look()
    assert hub.links.jurisdiction("edge") is None
    annotations = {"smallmodel.dev/jurisdiction": "DE"}
    namespace = {"metadata": {"name": SYSTEM, "annotations": annotations}}
    edge.kube.put(f"/api/v1/namespaces/{SYSTEM}", namespace)
    await hub.look()

    assert hub.links.jurisdiction("edge") == "DE"
    assert hub.links.jurisdiction("another") is None


async def test_a_kubeconfig_that_stays_the_same_is_read_once(
    hub: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = list[bytes]()

    def reading(content: bytes, source: str) -> Credentials:
        read.append(content)
        return read_kubeconfig(content, source)

    monkeypatch.setattr(credentials, "read_kubeconfig", reading)
    edge = await hub.join("edge")
    await hub.look(3)
    assert len(read) == 1

    edge.token = "another"
    hub.keep_secret("edge")
    await hub.look()
    assert len(read) == 2
    assert hub.said("edge") == ("Connected", "Connected")
