"""The pods of a team's one pool: found, killed, evicted."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from support.counting import answered
from support.counting_client import Asked
from support.installation import Team

Kind: TypeAlias = Literal["head", "worker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPod:
    """One of them."""

    name: str
    uid: str


def pool_pods(team: Team, kind: Kind) -> list[PoolPod]:
    """Return the heads or workers of the namespace that are not about to end."""
    listed = team.cluster.get("-n", team.namespace, "pods", "-l", f"ray.io/node-type={kind}")
    return [
        PoolPod(name=pod["metadata"]["name"], uid=pod["metadata"]["uid"])
        for pod in listed["items"]
        if not pod["metadata"].get("deletionTimestamp")
    ]


def the_pod(team: Team, kind: Kind) -> PoolPod:
    """Return the one head or worker of the namespace."""
    (found,) = pool_pods(team, kind)
    return found


def is_replaced(team: Team, lost: PoolPod, kind: Kind) -> bool:
    """Say whether another pod has taken the place of one that was lost."""
    return any(pod.uid != lost.uid for pod in pool_pods(team, kind))


def is_gone(team: Team, pod: PoolPod) -> bool:
    """Say whether nothing is left of a pod."""
    listed = team.cluster.get("-n", team.namespace, "pods")["items"]
    return pod.uid not in {each["metadata"]["uid"] for each in listed}


def kill(team: Team, pod: PoolPod) -> None:
    """Take a pod away at once, as the loss of its node would."""
    team.kubectl("delete", "pod", pod.name, "--grace-period=0", "--force")


def evict(team: Team, pod: PoolPod) -> None:
    """Have a pod leave its node, as `kubectl drain` does."""
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": team.namespace},
    }
    path = f"/api/v1/namespaces/{team.namespace}/pods/{pod.name}/eviction"
    team.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))


def first_answer(asked: Sequence[Asked], since: float) -> Asked:
    """Return the first request that was begun later and answered in full."""
    return min((one for one in answered(asked) if one.start > since), key=lambda one: one.start)
