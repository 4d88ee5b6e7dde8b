"""A hub with many clusters: a real API server, and members that are simulated."""

import base64
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any, Final

from bench.children import until
from bench.cluster.control_plane import MODELS, ControlPlane, bare_control_plane
from bench.cluster.operator_process import SYSTEM
from bench.hybrid.simulated_member import SimulatedMember, simulated_members
from smallmodel_operator.api.modelcluster import ConnectionMode
from smallmodel_operator.api.names import API_VERSION
from smallmodel_operator.clusters.identity import HUB_KEY, HUB_SECRET
from smallmodel_operator.clusters.ref import MODELCLUSTERS, SECRETS

NAMESPACE: Final = "team"
HUB_ID: Final = "bench-hub"
WELL: Final = frozenset({"Connected"})
"""What the hub says of members that answer."""
GONE: Final = frozenset({"Unreachable"})
"""What it says of others."""

_LABEL: Final = "bench.smallmodel.dev/member"
_PRICES: Final = {"cpuHour": "0.04", "memoryGBHour": "0.004"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """One hub and its members."""

    plane: ControlPlane
    members: tuple[SimulatedMember, ...]

    def served(self) -> int:
        """Return how many models are in the configs of RayServices, in all members."""
        return sum(member.seen.served() for member in self.members)

    def used(self) -> tuple[SimulatedMember, ...]:
        """Return the members with a pool."""
        return tuple(member for member in self.members if member.seen.pools)

    async def make_bound_models(self) -> None:
        """Make a model for each member, and let it run nowhere else."""
        bound = {model_of(member): {_LABEL: member.name} for member in self.members}
        await self.plane.make_models(
            NAMESPACE, bound, lambda name: {"placement": {"clusterSelector": bound[name]}}
        )

    async def all_served(self, models: int, within: float) -> None:
        """Return when all models are in RayServices.

        Raises:
            TimeoutError: They were not in time.
        """
        await until(
            lambda: self.served() >= models, f"all of {models} models are in RayServices", within
        )

    async def link(self, member: SimulatedMember) -> str:
        """Return what the hub says of a member."""
        cluster = await self.plane.kube.get(f"{MODELS}/modelclusters/{member.name}")
        return str(((cluster.get("status") or {}).get("link") or {}).get("state", ""))

    async def all_linked(
        self, members: Iterable[SimulatedMember], states: frozenset[str], within: float
    ) -> None:
        """Return when the hub says one of these of every one of the members.

        Raises:
            TimeoutError: It did not in time.
        """
        left = list(members)

        async def are() -> bool:
            while left and await self.link(left[-1]) in states:
                left.pop()
            return not left

        what = f"the link to each member is {' or '.join(sorted(states))}"
        await until(are, what, within, every=0.5)


def model_of(member: SimulatedMember) -> str:
    """Return the name of the model that is bound to a member."""
    return f"chat-{member.name}"


@contextlib.asynccontextmanager
async def fleet(count: int, mode: ConnectionMode) -> AsyncIterator[Fleet]:
    """Give a hub that knows of so many members; the operator is not started yet.

    Args:
        count: How many.
        mode: How they are connected.
    """
    members = tuple(SimulatedMember(f"member-{number:03}") for number in range(count))
    async with bare_control_plane() as plane, simulated_members(members):
        await keep_hub_id(plane)
        for member in members:
            member.prepare(HUB_ID, (NAMESPACE,))
            await _join(plane, member, mode)
        yield Fleet(plane=plane, members=members)


async def _join(plane: ControlPlane, member: SimulatedMember, mode: ConnectionMode) -> None:
    """Have the hub know of a member, as `slm cluster join` does."""
    connection: dict[str, Any] = {"mode": mode}
    if mode is ConnectionMode.PUSH:
        kubeconfig = base64.b64encode(member.kubeconfig()).decode()
        await _keep_secret(plane, member.name, {"kubeconfig": kubeconfig})
        connection["kubeconfigSecretRef"] = {"name": member.name}
    await declare(plane, member.name, connection)


async def declare(plane: ControlPlane, name: str, connection: dict[str, Any]) -> None:
    """Have the hub know of a cluster."""
    await plane.kube.create(
        MODELCLUSTERS.path(),
        {
            "apiVersion": API_VERSION,
            "kind": MODELCLUSTERS.kind,
            "metadata": {"name": name, "labels": {_LABEL: name}},
            "spec": {"connection": connection, "tier": "Edge", "prices": _PRICES},
        },
    )


async def keep_hub_id(plane: ControlPlane) -> None:
    """Have the hub's id be known before the operator runs, for members to accept it."""
    await _keep_secret(plane, HUB_SECRET, {HUB_KEY: base64.b64encode(HUB_ID.encode()).decode()})


async def _keep_secret(plane: ControlPlane, name: str, data: dict[str, str]) -> None:
    metadata = {"name": name, "namespace": SYSTEM}
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
    await plane.kube.create(SECRETS.path(SYSTEM), manifest)
