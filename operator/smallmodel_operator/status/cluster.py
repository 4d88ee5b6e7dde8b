"""What was seen of a cluster becomes the status of its ModelCluster."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.modelcluster import (
    ModelCluster,
    ModelClusterStatus,
    ObservedAccelerator,
)
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.placement.cluster_values import Node, stocks
from smallmodel_operator.status.summarise import conditions
from smallmodel_operator.status.verdicts import Verdict

KUBERAY_LEAST: Final = (1, 6)
"""The oldest with which pools are tested."""
KUBERAY_TRIED: Final = "1.6.2"
"""What the tests run, and what a message recommends."""

_INSTALL: Final = (
    "helm upgrade --install kuberay-operator kuberay-operator "
    "--repo https://ray-project.github.io/kuberay-helm/ "
    f"--version {KUBERAY_TRIED} --namespace kuberay-system --create-namespace"
)
_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)")
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeRay:
    """What the API server says of KubeRay's RayService."""

    version: str | None = None
    """Of the operator, as far as its objects tell."""
    lacks: tuple[str, ...] = ()
    """Fields that pools need and that its RayService does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSight:
    """What was seen of a cluster that answered."""

    kubernetes_version: str
    kube_ray: KubeRay | None
    """None: there is no RayService."""
    nodes: tuple[Node, ...]
    gateway_problem: str | None = None
    """What is to be done before requests can be led to models."""


def kuberay_problem(kube_ray: KubeRay | None) -> str | None:
    """Return what is to be done about KubeRay, or None where it is there and new enough."""
    least = ".".join(str(part) for part in KUBERAY_LEAST)
    if kube_ray is None:
        return f"KubeRay is not installed: there is no RayService. Install it: {_INSTALL}"
    found = _VERSION.match(kube_ray.version or "")
    if found and tuple(int(part) for part in found.groups()) < KUBERAY_LEAST:
        return (
            f"KubeRay is {kube_ray.version}, and pools need {least} or newer. Upgrade it with its "
            f"CRDs: {_INSTALL}"
        )
    if kube_ray.lacks:
        return (
            f"KubeRay's RayService lacks {', '.join(kube_ray.lacks)}, which pools need: its CRDs "
            f"are older than {least}. Helm never upgrades CRDs; apply those of {KUBERAY_TRIED}, "
            f"then: {_INSTALL}"
        )
    return None


def summarise_cluster(
    cluster: ModelCluster, sight: ClusterSight | None, now: str
) -> ModelClusterStatus:
    """Return the whole status of a cluster.

    Args:
        cluster: With the status before: its transition times live on where nothing changed, and its
            facts where the cluster did not answer.
        sight: What was seen now; None: it did not answer.
        now: RFC 3339 time.

    Returns:
        The new status; equal to the one before where no fact changed.
    """
    before, generation = cluster.status, cluster.metadata.generation
    facts = before if sight is None else _facts(sight)
    unchanged = _without_times(facts) == _without_times(before)
    verdicts = {ConditionType.READY: _ready(sight)}
    return facts.model_copy(
        update={
            "observed_generation": generation,
            "conditions": conditions(verdicts, before.conditions, generation, now),
            "observed_at": before.observed_at if unchanged else now,
        }
    )


def _ready(sight: ClusterSight | None) -> Verdict:
    if sight is None:
        message = (
            "The cluster's API server did not answer, so nothing new is known of it; what runs "
            "there is left alone"
        )
        return Verdict("Unknown", Reason.CLUSTER_NOT_OBSERVED, message)
    problem = kuberay_problem(sight.kube_ray)
    if problem is not None:
        return Verdict("False", Reason.API_MISSING, problem)
    if sight.gateway_problem is not None:
        return Verdict("False", Reason.API_MISSING, sight.gateway_problem)
    ready = sum(node.takes_pods for node in sight.nodes)
    return Verdict("True", Reason.OBSERVED, f"{ready} of {len(sight.nodes)} nodes take pods")


def _facts(sight: ClusterSight) -> ModelClusterStatus:
    nodes = [node for node in sight.nodes if node.takes_pods]
    return ModelClusterStatus(
        kubernetes_version=sight.kubernetes_version,
        kube_ray_version=sight.kube_ray.version if sight.kube_ray else None,
        nodes=len(nodes),
        cpu=_cores(sum(node.cpu_cores for node in nodes)),
        memory=f"{sum(node.memory_bytes for node in nodes) // _MIB}Mi",
        accelerators=_accelerators(nodes),
    )


def _accelerators(nodes: Sequence[Node]) -> tuple[ObservedAccelerator, ...]:
    return tuple(
        ObservedAccelerator(
            product=stock.product,
            allocatable=stock.count,
            memory=f"{stock.memory_bytes // _MIB}Mi" if stock.memory_bytes else None,
        )
        for stock in stocks(nodes)
    )


def _cores(cores: float) -> str:
    thousandths = round(cores * 1000)
    return str(thousandths // 1000) if thousandths % 1000 == 0 else f"{thousandths}m"


def _without_times(status: ModelClusterStatus) -> ModelClusterStatus:
    nothing = {"observed_generation": 0, "conditions": (), "observed_at": None}
    return status.model_copy(update=nothing)
