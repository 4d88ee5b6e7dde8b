"""What was seen of a cluster becomes the status of its ModelCluster."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.capacity import ClusterCapacity
from smallmodel_operator.api.conditions import ClusterConditionType
from smallmodel_operator.api.modelcluster import (
    ClusterLink,
    ConnectionMode,
    ModelCluster,
    ModelClusterStatus,
    ObservedAccelerator,
)
from smallmodel_operator.api.names import LOCAL_CLUSTER
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.placement.cluster_values import Node, stocks
from smallmodel_operator.status.link import USABLE
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
_ORPHANS_NAMED: Final = 5
"""The first, so that a message stays short."""
_REASONS: Final = frozenset(Reason)

_NOT_OBSERVED: Final = Verdict(
    "Unknown",
    Reason.CLUSTER_NOT_OBSERVED,
    "The cluster's API server did not answer, so nothing new is known of it; what runs there is "
    "left alone",
)
_FRESH: Final = Verdict("True", Reason.OBSERVED, "The facts are those of the last look")
_NOT_ASKED: Final = Verdict("Unknown", Reason.WAITING, "The hub has not asked the cluster yet")
_NOT_HEARD: Final = Verdict(
    "Unknown",
    Reason.NOT_CONNECTED,
    "No agent of the cluster has called the hub yet; `slm cluster join NAME --mode pull` prepares "
    "one, and prints the command that installs it",
)
_NOT_CARRIED: Final = Verdict(
    "Unknown",
    Reason.NOT_CONNECTED,
    "No file of the cluster has been imported yet; `slm bundle export --status` there writes one, "
    "and `slm bundle import` here takes it",
)
_NOT_FRESH: Final = Verdict(
    "False",
    Reason.CLUSTER_NOT_OBSERVED,
    "The facts are those of an earlier look: the cluster did not answer since",
)


_UNHEARD: Final = {ConnectionMode.PULL: _NOT_HEARD, ConnectionMode.BUNDLE: _NOT_CARRIED}


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
    cluster: ModelCluster,
    sight: ClusterSight | None,
    now: str,
    *,
    orphans: Sequence[str] | None = None,
    capacity: ClusterCapacity | None = None,
) -> ModelClusterStatus:
    """Return the whole status of a cluster.

    Args:
        cluster: With the status before: its transition times live on where nothing changed, and its
            facts where the cluster did not answer.
        sight: What was seen now; None: it did not answer.
        now: RFC 3339 time.
        orphans: The models, as namespace and name, of which it has placements and the hub has not;
            None: that is not known, or it is the hub's own.
        capacity: What an agent tells of its cluster's room; None: whoever decides sees that itself.

    Returns:
        The new status; equal to the one before where no fact changed.
    """
    before = cluster.status
    facts = before if sight is None else _facts(sight, capacity)
    unchanged = _without_times(facts) == _without_times(before)
    return _status(
        cluster,
        facts.model_copy(
            update={
                "link": before.link,
                "observed_at": before.observed_at if unchanged else now,
            }
        ),
        connected=_connected(cluster, before.link, answered=sight is not None),
        fresh=_NOT_FRESH if sight is None else _FRESH,
        ready=_ready(sight),
        mirrored=_mirrored(orphans) if orphans is not None else None,
        now=now,
    )


def summarise_link(cluster: ModelCluster, link: ClusterLink | None, now: str) -> ModelClusterStatus:
    """Return the whole status of a cluster of which only the link was looked at.

    Args:
        cluster: With the status before; what was seen of the cluster itself stays in it.
        link: How the hub and the cluster get on; None: nothing connects them.
        now: RFC 3339 time.

    Returns:
        The new status; equal to the one before where no fact changed.
    """
    connected = _connected(cluster, link, answered=True)
    usable = _may_be_decided_for(connected)
    return _status(
        cluster,
        cluster.status.model_copy(update={"link": link}),
        connected=connected,
        fresh=_as_before(cluster, ClusterConditionType.FACTS_FRESH) if usable else _NOT_FRESH,
        ready=_as_before(cluster, ClusterConditionType.READY) if usable else _NOT_OBSERVED,
        now=now,
    )


def summarise_carried(
    cluster: ModelCluster, told: ModelClusterStatus, link: ClusterLink | None, now: str
) -> ModelClusterStatus:
    """Return the whole status of a cluster that told it in a file.

    Args:
        cluster: With the status before, and with the file in it that this one came in.
        told: What the cluster says of itself.
        link: How the hub and the cluster get on.
        now: RFC 3339 time.
    """
    file = cluster.status.bundle
    teller = cluster.model_copy(update={"status": told})
    mirrored = _as_before(teller, ClusterConditionType.MIRRORED)
    seen = f"The facts are those of a file of {file.exported_at}" if file else _FRESH.message
    return _status(
        cluster,
        told.model_copy(update={"link": link, "bundle": file}),
        connected=_connected(cluster, link, answered=True),
        fresh=Verdict("True", Reason.OBSERVED, seen),
        ready=_as_before(teller, ClusterConditionType.READY),
        mirrored=mirrored,
        now=now,
    )


def summarise_conflict(cluster: ModelCluster, message: str, now: str) -> ModelClusterStatus:
    """Return the whole status of a cluster on which nothing is placed, since a name is taken.

    Args:
        cluster: With the status before.
        message: What is in the way.
        now: RFC 3339 time.
    """
    return _status(
        cluster,
        cluster.status,
        connected=_connected(cluster, cluster.status.link, answered=True),
        fresh=_as_before(cluster, ClusterConditionType.FACTS_FRESH),
        ready=Verdict("False", Reason.NAME_CONFLICT, message),
        now=now,
    )


def _status(
    cluster: ModelCluster,
    facts: ModelClusterStatus,
    *,
    connected: Verdict,
    fresh: Verdict,
    ready: Verdict,
    mirrored: Verdict | None = None,
    now: str,
) -> ModelClusterStatus:
    generation = cluster.metadata.generation
    told = {one.type for one in cluster.status.conditions}
    if mirrored is None and ClusterConditionType.MIRRORED in told:
        mirrored = _as_before(cluster, ClusterConditionType.MIRRORED)
    verdicts = {
        ClusterConditionType.READY: ready,
        ClusterConditionType.CONNECTED: connected,
        ClusterConditionType.FACTS_FRESH: fresh,
        ClusterConditionType.SCHEDULABLE: _schedulable(cluster, connected, fresh, ready),
    }
    if mirrored is not None:
        verdicts[ClusterConditionType.MIRRORED] = mirrored
    made = conditions(verdicts, cluster.status.conditions, generation, now)
    return facts.model_copy(update={"observed_generation": generation, "conditions": made})


def _connected(cluster: ModelCluster, link: ClusterLink | None, *, answered: bool) -> Verdict:
    mode = cluster.spec.connection.mode
    if mode is not ConnectionMode.LOCAL:
        if link is None:
            return _UNHEARD.get(mode, _NOT_ASKED)
        return Verdict("True" if link.state in USABLE else "False", link.reason, link.message)
    if cluster.metadata.name != LOCAL_CLUSTER:
        message = (
            f"connection.mode is Local, and the operator's own cluster is {LOCAL_CLUSTER}; run "
            f"`slm cluster join {cluster.metadata.name}`, which writes a connection of mode Push"
        )
        return Verdict("False", Reason.NOT_CONNECTED, message)
    if not answered:
        return _NOT_OBSERVED
    return Verdict("True", Reason.CONNECTED, "It is the operator's own cluster")


def _may_be_decided_for(connected: Verdict) -> bool:
    """Return whether the hub decides for a cluster, which may be one that files are carried to."""
    return connected.status == "True" or connected.reason is Reason.BUNDLED


def _mirrored(orphans: Sequence[str]) -> Verdict:
    if not orphans:
        return Verdict("True", Reason.OBSERVED, "The hub has all placements that the cluster has")
    named = ", ".join(sorted(orphans)[:_ORPHANS_NAMED])
    more = f" and {len(orphans) - _ORPHANS_NAMED} more" if len(orphans) > _ORPHANS_NAMED else ""
    message = (
        f"It has placements that the hub does not have: {named}{more}. They are served on, "
        "and nothing is deleted. Create the SmallModels again, or delete these ModelPlacements in "
        "the cluster"
    )
    return Verdict("False", Reason.ORPHANED, message)


def _schedulable(
    cluster: ModelCluster, connected: Verdict, fresh: Verdict, ready: Verdict
) -> Verdict:
    for needed in (connected, ready, fresh):
        if needed.status != "True" and not _may_be_decided_for(needed):
            return Verdict("False", needed.reason, needed.message)
    if cluster.spec.taints:
        taints = ", ".join(
            f"{one.key}{'=' if one.value else ''}{one.value}:{one.effect}"
            for one in cluster.spec.taints
        )
        message = f"Tainted by {taints}: only models that tolerate it go there"
        return Verdict("False", Reason.TAINTED, message)
    return Verdict("True", Reason.SCHEDULABLE, "New copies may go there")


def _as_before(cluster: ModelCluster, kind: ClusterConditionType) -> Verdict:
    for condition in cluster.status.conditions:
        # A later version of the operator may have reasons of its own.
        if condition.type == kind and condition.reason in _REASONS:
            return Verdict(condition.status, Reason(condition.reason), condition.message)
    return Verdict("Unknown", Reason.WAITING, "The hub has not looked at the cluster yet")


def _ready(sight: ClusterSight | None) -> Verdict:
    if sight is None:
        return _NOT_OBSERVED
    problem = kuberay_problem(sight.kube_ray)
    if problem is not None:
        return Verdict("False", Reason.API_MISSING, problem)
    if sight.gateway_problem is not None:
        return Verdict("False", Reason.API_MISSING, sight.gateway_problem)
    ready = sum(node.takes_pods for node in sight.nodes)
    return Verdict("True", Reason.OBSERVED, f"{ready} of {len(sight.nodes)} nodes take pods")


def _facts(sight: ClusterSight, capacity: ClusterCapacity | None) -> ModelClusterStatus:
    nodes = [node for node in sight.nodes if node.takes_pods]
    return ModelClusterStatus(
        kubernetes_version=sight.kubernetes_version,
        kube_ray_version=sight.kube_ray.version if sight.kube_ray else None,
        nodes=len(nodes),
        cpu=_cores(sum(node.cpu_cores for node in nodes)),
        memory=f"{sum(node.memory_bytes for node in nodes) // _MIB}Mi",
        accelerators=_accelerators(nodes),
        capacity=capacity,
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
    return status.model_copy(update={**nothing, "link": None, "bundle": None})
