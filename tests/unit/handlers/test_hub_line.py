"""An agent's line to its hub: a credential that may come later, and nobody who waits in vain."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from builders.fake_clock import FakeClock
from builders.fake_kube_api import FakeKubeApi, fake_kube_api, refuse
from builders.kubeconfigs import TOKEN, encoded, kubeconfig, pair, server_tls
from smallmodel_operator.api.modelcluster import LinkState
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.ref import LEASES, MODELCLUSTERS, SECRETS
from smallmodel_operator.handlers.hub_line import AgentName, Ends, HubLine
from smallmodel_operator.status.link import IN_A_ROW

LEASE = LEASES.ref("smallmodel-agent", "slm-cluster-edge").path
AGENT = AgentName(cluster="edge", cluster_uid="uid-edge", hub_id="hub-1", identity="agent-0")


@dataclass
class Line:
    """A line, its hub, and what was told of it."""

    hub: FakeKubeApi
    file: Path
    told: list[str] = field(default_factory=list)
    request: str | None = None
    line: HubLine = field(init=False)

    def __post_init__(self) -> None:
        ends = Ends(
            opened=lambda: self.told.append("opened"), shut=lambda: self.told.append("shut")
        )
        self.line = HubLine(
            self.file,
            AGENT,
            ends,
            lambda: "2026-01-01T00:00:00Z",
            clock=FakeClock(),
            request=lambda: self.request,
        )

    def give(self, *, token: str = TOKEN) -> None:
        """Have the Secret be there, as a volume shows it."""
        authority = encoded(pair().certificate)
        config = kubeconfig(
            cluster={"server": self.hub.url, "certificate-authority-data": authority},
            user={"token": token},
        )
        self.file.write_text(yaml.safe_dump(config))

    async def beat(self, times: int = 1) -> None:
        for _ in range(times):
            await self.line.beat()

    @property
    def tokens(self) -> set[str]:
        """With which the hub was called."""
        return {one.headers["Authorization"].removeprefix("Bearer ") for one in self.hub.seen}


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    """A hub that knows the cluster, and a line of which nobody has the kubeconfig yet."""
    async with fake_kube_api(server_tls(pair())) as hub:
        hub.put(MODELCLUSTERS.ref("edge").path, {"metadata": {"name": "edge"}})
        made = Line(hub, tmp_path / "kubeconfig")
        yield made
        with contextlib.suppress(AttributeError):
            await made.line.api.close()
            await made.line._prober.close()


async def test_a_heartbeat_reads_and_writes_and_opens_the_line(line: Line) -> None:
    line.give()
    await line.beat()

    lease = line.hub.objects[LEASE]
    assert lease["metadata"]["annotations"] == {"smallmodel.dev/cluster-uid": "uid-edge"}
    assert lease["metadata"]["labels"]["smallmodel.dev/hub"] == "hub-1"
    assert lease["spec"]["holderIdentity"] == "agent-0"
    assert line.told == ["opened"]
    assert line.line.problem is None
    assert await line.line.api.get(MODELCLUSTERS.ref("edge")) is not None


async def test_without_a_kubeconfig_nobody_is_called_and_it_is_said(line: Line) -> None:
    assert line.line.problem == "The hub was not called yet"
    await line.beat()
    assert line.line.problem is not None
    assert line.line.problem.startswith("KubeconfigMissing: The hub's kubeconfig ")
    assert "agent.hubKubeconfigSecret" in line.line.problem
    with pytest.raises(errors.Unreachable, match="the hub is CredentialError"):
        await line.line.api.get(SECRETS.ref("any", "any"))
    assert line.hub.seen == []
    assert line.told == []


async def test_a_kubeconfig_that_asks_for_too_much_is_refused(line: Line) -> None:
    line.file.write_text("kind: Config\nusers: [{exec: x}]\n")
    await line.beat()
    assert line.line.problem is not None
    assert line.line.problem.startswith("KubeconfigRefused: ")


async def test_it_is_used_when_it_comes(line: Line) -> None:
    await line.beat(2)
    line.give()
    await line.beat(IN_A_ROW)
    assert line.told == ["opened"]
    assert line.line.problem is None


async def test_a_new_one_is_used_once_it_was_seen_to_work(line: Line) -> None:
    line.give()
    await line.beat()
    line.give(token="newer")
    line.hub.replies = [refuse(401)]
    await line.beat()
    line.hub.seen.clear()
    await line.line.api.get(MODELCLUSTERS.ref("edge"))
    assert line.tokens == {TOKEN}

    await line.beat()
    line.hub.seen.clear()
    await line.line.api.get(MODELCLUSTERS.ref("edge"))
    assert line.tokens == {"newer"}
    assert line.told == ["opened", "shut", "opened"], "what is watched is watched anew"


async def test_one_that_is_gone_for_a_moment_changes_nothing(line: Line) -> None:
    line.give()
    await line.beat()
    line.file.unlink()
    await line.beat(IN_A_ROW - 1)
    assert line.line.problem is None
    line.give()
    await line.beat()
    assert line.told == ["opened"]


LOST = {
    "it does not know the agent": (401, LinkState.CREDENTIAL_ERROR, "Unauthorized"),
    "it does not let it": (403, LinkState.CREDENTIAL_ERROR, "Forbidden"),
    "it fails": (500, LinkState.UNREACHABLE, "Unreachable"),
}


@pytest.mark.parametrize(("status", "state", "reason"), LOST.values(), ids=LOST)
async def test_a_hub_is_lost_after_three_heartbeats(
    line: Line, status: int, state: LinkState, reason: str
) -> None:
    line.give()
    await line.beat()
    for number in range(IN_A_ROW):
        assert line.told == ["opened"], number
        # A call that may be repeated is, twice.
        line.hub.replies = [refuse(status)] * 3
        await line.beat()
        line.hub.replies = []
    assert line.told == ["opened", "shut"]
    assert line.line.link is not None
    assert line.line.link.state is state
    assert str(line.line.problem).startswith(f"{reason}: ")
    assert line.line.failures == IN_A_ROW
    with pytest.raises(errors.Unreachable, match=f"the hub is {state}"):
        await line.line.api.get(MODELCLUSTERS.ref("edge"))

    await line.beat(IN_A_ROW)
    assert line.told == ["opened", "shut", "opened"]


async def test_a_hub_that_does_not_know_the_cluster_says_so(line: Line) -> None:
    line.give()
    line.hub.objects.clear()
    await line.beat()
    assert "The hub has no ModelCluster" in str(line.line.problem)
    assert LEASE not in line.hub.objects


async def test_a_heartbeat_carries_what_the_gateway_asks_for(line: Line) -> None:
    line.give()
    line.request = "csr"
    await line.beat()
    said = line.hub.objects[LEASE]["metadata"]["annotations"]
    assert said["smallmodel.dev/gateway-request"] == "csr"
