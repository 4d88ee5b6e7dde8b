"""A cluster of a ClusterProfile is called with a token of a program, which is asked in time."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from builders.cluster_profiles import access, credential, printing, profile, program, provider
from builders.fake_kube_api import failure
from builders.kubeconfigs import TOKEN, encoded, pair
from builders.linked_clusters import Linked, linked
from smallmodel_operator.clusters.ref import CLUSTERPROFILES, NAMESPACES

PATH = CLUSTERPROFILES.ref("edge", "fleet").path


class Profiled:
    """A hub, a cluster with a ClusterProfile, and a program that counts its runs."""

    def __init__(self, hub: Linked, folder: Path) -> None:
        self.hub = hub
        self.runs = folder / "runs"
        self.answer = folder / "answer.json"
        self.plugin = program(folder / "plugin", f"echo >> {self.runs}; cat {self.answer}")

    async def join(self, *, installed: bool = True, listed: bool = True) -> None:
        """Have the cluster be declared."""
        member = await self.hub.member("edge")
        cluster = {
            "server": member.kube.url,
            "certificate-authority-data": encoded(pair().certificate),
        }
        if listed:
            self.hub.hub.put(PATH, profile(access(**cluster)))
        if installed:
            self.hub.providers = (provider(self.plugin),)
            self.hub.restart()
        self.give()
        self.declare()

    def declare(self) -> None:
        """Write the ModelCluster."""
        ref = {"name": "edge", "namespace": "fleet"}
        self.hub.declare("edge", kubeconfigSecretRef=None, clusterProfileRef=ref)

    def give(self, token: str = TOKEN, **status: Any) -> None:
        """Have the program give a token."""
        self.answer.write_text(json.dumps(credential(token=token, **status)))

    def asked(self) -> int:
        """How often the program ran."""
        return len(self.runs.read_text().splitlines()) if self.runs.exists() else 0

    @property
    def message(self) -> str:
        """What the link says."""
        link = self.hub.cluster("edge").status.link
        assert link is not None
        return link.message


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Profiled]:
    async with linked() as hub:
        yield Profiled(hub, tmp_path)


async def test_it_is_connected_and_worked_on(one: Profiled) -> None:
    await one.join()
    await one.hub.look(3)

    assert one.hub.told == [("connected", "edge")]
    assert one.hub.said("edge") == ("Connected", "Connected")
    found = await one.hub.apis["edge"].get(NAMESPACES.ref("kube-system"))
    assert found is not None
    assert found["metadata"]["uid"] == "uid-edge"
    assert one.asked() == 1


async def test_a_token_is_renewed_before_it_ends(one: Profiled) -> None:
    await one.join()
    # The clock stands at 00:00:00, and each look takes ten seconds of it.
    one.give(expirationTimestamp="2026-01-01T00:01:40Z")
    await one.hub.look(8)
    assert one.asked() == 1
    one.hub.members["edge"].token = "another-token"
    one.give("another-token", expirationTimestamp="2026-01-01T01:00:00Z")
    await one.hub.look()

    assert one.asked() == 2
    assert one.hub.told == [("connected", "edge")]
    assert one.hub.link("edge").failures == 0
    assert await one.hub.apis["edge"].get(NAMESPACES.ref("kube-system")) is not None


async def test_a_token_that_is_not_known_any_more_is_replaced(one: Profiled) -> None:
    await one.join()
    await one.hub.look()
    one.hub.members["edge"].token = "another-token"
    one.give("another-token")
    await one.hub.look(2)

    assert one.asked() == 2
    assert one.hub.link("edge").failures == 1
    assert one.hub.told == [("connected", "edge")]
    assert one.hub.said("edge")[0] == "Connected"


async def test_a_program_that_fails_costs_nothing_while_the_token_is_good(one: Profiled) -> None:
    await one.join()
    one.give(expirationTimestamp="2026-01-01T00:01:40Z")
    await one.hub.look()
    one.answer.unlink()
    await one.hub.look(9)
    assert (one.hub.link("edge").failures, one.asked()) == (0, 3)
    await one.hub.look(3)

    assert one.hub.told == [("connected", "edge"), ("disconnected", "edge")]
    assert one.hub.said("edge") == ("CredentialError", "CredentialPluginFailed")
    assert "ended with the exit status 1" in one.message


async def test_another_address_asks_for_another_token(one: Profiled) -> None:
    await one.join()
    await one.hub.look()
    cluster = one.hub.hub.objects[PATH]["status"]["accessProviders"][0]["cluster"]
    moved = profile(access(**cluster | {"tls-server-name": "127.0.0.1"}))
    one.hub.hub.put(PATH, moved)
    await one.hub.look()

    assert one.asked() == 2
    assert one.hub.said("edge")[0] == "Connected"


async def test_a_kubeconfig_may_take_its_place_without_a_gap(one: Profiled) -> None:
    await one.join()
    await one.hub.look()
    one.hub.keep_secret("edge")
    one.hub.declare("edge", clusterProfileRef=None)
    del one.hub.hub.objects[PATH]
    await one.hub.look(3)

    assert one.hub.told == [("connected", "edge")]
    assert one.hub.said("edge")[0] == "Connected"


def _unlisted(one: Profiled) -> None:
    del one.hub.hub.objects[PATH]


def _of_another(one: Profiled) -> None:
    one.hub.hub.put(PATH, profile(access("oidc")))


def _without_tls(one: Profiled) -> None:
    one.hub.hub.put(PATH, profile(access(server="http://edge.example.com")))


def _absent(one: Profiled) -> None:
    one.plugin.unlink()


def _hangs(one: Profiled) -> None:
    one.hub.patience = 0.2
    one.hub.restart()
    one.declare()
    program(one.plugin, "sleep 600")


def _prints_words(one: Profiled) -> None:
    printing(one.plugin, "a-token")


WRONG: dict[str, tuple[Callable[[Profiled], None], str, str]] = {
    "no profile": (_unlisted, "ClusterProfileMissing", "ClusterProfile fleet/edge is not there"),
    "another provider": (_of_another, "ClusterProfileRefused", "lists oidc in status.access"),
    "no TLS": (_without_tls, "ClusterProfileRefused", "'http://edge.example.com'"),
    "no program": (_absent, "CredentialPluginFailed", "cannot be started"),
    "it hangs": (_hangs, "CredentialPluginFailed", "did not end within 0.2 s"),
    "no JSON object": (_prints_words, "CredentialPluginFailed", "no JSON object"),
}


@pytest.mark.parametrize(("spoil", "reason", "told"), WRONG.values(), ids=WRONG)
async def test_what_is_wrong_is_told_and_nobody_is_called(
    one: Profiled, spoil: Callable[[Profiled], None], reason: str, told: str
) -> None:
    await one.join()
    spoil(one)
    await one.hub.look()

    assert one.hub.said("edge") == ("CredentialError", reason)
    assert told in one.message
    assert one.hub.told == []
    assert one.hub.members["edge"].kube.seen == []


async def test_without_a_provider_no_profile_is_read(one: Profiled) -> None:
    await one.join(installed=False)
    await one.hub.look()

    assert one.hub.said("edge") == ("CredentialError", "ClusterProfileRefused")
    assert "the chart's clusters.credentialProviders" in one.message
    assert not [seen for seen in one.hub.hub.seen if seen.path == PATH]


async def test_a_hub_without_the_kind_says_so(one: Profiled) -> None:
    await one.join()
    dispatch = one.hub.hub.answer

    async def without_the_kind(request: Any) -> Any:
        if request.path == PATH:
            return failure(404, "NotFound", "the server could not find the requested resource")
        return await dispatch(request)

    one.hub.hub.dispatch = without_the_kind  # type: ignore[method-assign]
    await one.hub.look()

    assert one.hub.said("edge") == ("CredentialError", "ClusterProfileMissing")
    assert "does not know the kind clusterprofiles.multicluster.x-k8s.io/v1alpha1" in one.message
