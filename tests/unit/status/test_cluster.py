"""What was seen of a cluster becomes its status, and what is to be done about KubeRay."""

from dataclasses import replace

import pytest

from builders.clusters import declared, gpu_node, node, view
from builders.models import GIB, gpu
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelcluster import (
    ClusterLink,
    LinkState,
    ModelCluster,
    ModelClusterStatus,
    ObservedAccelerator,
)
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.placement.cluster_values import Node
from smallmodel_operator.status.capacity import capacity_of
from smallmodel_operator.status.cluster import (
    ClusterSight,
    KubeRay,
    kuberay_problem,
    summarise_cluster,
    summarise_conflict,
    summarise_link,
)

NOW = "2026-11-24T12:00:00Z"
LATER = "2026-11-24T12:05:00Z"
TRIED = KubeRay(version="1.6.2")


def cluster(status: ModelClusterStatus | None = None) -> ModelCluster:
    return ModelCluster(
        metadata=ObjectMeta(name="local", generation=2), status=status or ModelClusterStatus()
    )


def sight(*nodes: Node, kube_ray: KubeRay | None = TRIED) -> ClusterSight:
    return ClusterSight(
        kubernetes_version="1.36.3", kube_ray=kube_ray, nodes=nodes or (node(cpu_cores=1.93),)
    )


def said(status: ModelClusterStatus, kind: str) -> tuple[str, str, str]:
    (condition,) = (one for one in status.conditions if one.type == kind)
    return condition.status, condition.reason, condition.message


def ready(status: ModelClusterStatus) -> tuple[str, str, str]:
    return said(status, "Ready")


def test_the_facts_are_those_of_nodes_that_take_pods() -> None:
    nodes = (
        node(cpu_cores=1.93, memory_bytes=3 * GIB + 5),
        gpu_node(count=2, cpu_cores=2.07, memory_bytes=GIB),
        gpu_node("gpu-b", accelerator=gpu("NVIDIA-H100", memory=80 * GIB), ready=False),
        node("away", schedulable=False),
    )
    status = summarise_cluster(cluster(), sight(*nodes), NOW)

    assert (status.nodes, status.cpu, status.memory) == (2, "4", "4096Mi")
    assert status.accelerators == (
        ObservedAccelerator(product="NVIDIA-L4", allocatable=2, memory="24576Mi"),
    )
    assert (status.kubernetes_version, status.kube_ray_version) == ("1.36.3", "1.6.2")
    assert (status.observed_at, status.observed_generation) == (NOW, 2)
    assert ready(status) == ("True", Reason.OBSERVED, "2 of 4 nodes take pods")


def test_parts_of_cores_and_unknown_memory_are_written_as_they_are() -> None:
    unknown = gpu_node(accelerator=replace(gpu(), memory_bytes=None))
    status = summarise_cluster(cluster(), sight(node(cpu_cores=1.93), unknown), NOW)

    assert status.cpu == "5930m"
    assert status.accelerators[0].memory is None


KUBERAY = {
    "there and new": (KubeRay(version="1.6.2"), None),
    "there and newer": (KubeRay(version="v1.10.0"), None),
    "there, and nobody knows how old": (KubeRay(), None),
    "a version of its own kind": (KubeRay(version="nightly"), None),
    "not there": (None, "KubeRay is not installed"),
    "too old": (KubeRay(version="1.5.1"), "KubeRay is 1.5.1, and pools need 1.6 or newer"),
    "much too old": (KubeRay(version="v0.6.0"), "KubeRay is v0.6.0"),
    "new, with old CRDs": (KubeRay(version="1.6.2", lacks=("authOptions",)), "lacks authOptions"),
}


@pytest.mark.parametrize(("kube_ray", "part"), KUBERAY.values(), ids=KUBERAY)
def test_a_missing_or_old_kuberay_is_told_with_the_command(
    kube_ray: KubeRay | None, part: str | None
) -> None:
    problem = kuberay_problem(kube_ray)
    status = summarise_cluster(cluster(), sight(kube_ray=kube_ray), NOW)

    if part is None:
        assert problem is None
        assert ready(status)[0] == "True"
        return
    assert problem is not None
    assert part in problem
    assert "helm upgrade --install kuberay-operator" in problem
    assert ready(status) == ("False", Reason.API_MISSING, problem)
    assert status.nodes == 1


def test_a_missing_gateway_api_is_told_once_kuberay_is_there() -> None:
    without = replace(sight(), gateway_problem="Install the Gateway API.")

    told = ready(summarise_cluster(cluster(), without, NOW))
    assert told == ("False", Reason.API_MISSING, "Install the Gateway API.")
    neither = ready(summarise_cluster(cluster(), replace(without, kube_ray=None), NOW))
    assert neither[2].startswith("KubeRay is not installed")


def test_what_was_known_stays_while_the_cluster_does_not_answer() -> None:
    before = summarise_cluster(cluster(), sight(), NOW)
    status = summarise_cluster(cluster(before), None, LATER)

    assert (status.nodes, status.cpu, status.observed_at) == (1, "1930m", NOW)
    assert ready(status)[:2] == ("Unknown", Reason.CLUSTER_NOT_OBSERVED)


def test_looking_again_at_the_same_cluster_changes_nothing() -> None:
    first = summarise_cluster(cluster(), sight(), NOW)
    assert summarise_cluster(cluster(first), sight(), LATER) == first


def test_a_changed_fact_moves_the_time_and_not_that_of_the_condition() -> None:
    first = summarise_cluster(cluster(), sight(), NOW)
    second = summarise_cluster(cluster(first), sight(node(), node("b")), LATER)

    assert second.observed_at == LATER
    assert second.conditions[0].last_transition_time == NOW


def test_what_an_agent_tells_of_its_room_is_kept_while_nothing_is_seen() -> None:
    room = capacity_of(view(node()))
    first = summarise_cluster(cluster(), sight(), NOW, capacity=room)
    assert first.capacity == room
    assert summarise_cluster(cluster(first), None, LATER, capacity=None).capacity == room
    other = capacity_of(view(node(free_memory_bytes=GIB)))
    second = summarise_cluster(cluster(first), sight(), LATER, capacity=other)
    assert (second.capacity, second.observed_at) == (other, LATER)


SCHEDULABLE = {
    "seen": (cluster(), True, "True", Reason.SCHEDULABLE),
    "not seen": (cluster(), False, "False", Reason.CLUSTER_NOT_OBSERVED),
    "tainted": (declared(taints=[{"key": "a", "value": "b"}]), True, "False", Reason.TAINTED),
}


@pytest.mark.parametrize(
    ("given", "seen", "status", "reason"), SCHEDULABLE.values(), ids=SCHEDULABLE
)
def test_new_copies_go_to_a_cluster_that_is(
    given: ModelCluster, seen: bool, status: str, reason: Reason
) -> None:
    told = summarise_cluster(given, sight() if seen else None, NOW)
    assert said(told, "Schedulable")[:2] == (status, reason)
    assert said(told, "FactsFresh")[0] == ("True" if seen else "False")
    assert said(told, "Connected")[0] == ("True" if seen else "Unknown")


def test_a_taint_is_named() -> None:
    taints = [{"key": "gpu"}, {"key": "a", "value": "b", "effect": "NoSelectIfNew"}]
    told = summarise_cluster(declared(taints=taints), sight(), NOW)
    assert "gpu:NoSelect, a=b:NoSelectIfNew" in said(told, "Schedulable")[2]


def test_a_cluster_without_kuberay_takes_no_new_copies() -> None:
    told = summarise_cluster(cluster(), sight(kube_ray=None), NOW)
    assert said(told, "Schedulable")[:2] == ("False", Reason.API_MISSING)


def pushed(status: ModelClusterStatus | None = None) -> ModelCluster:
    connection = {"mode": "Push", "kubeconfigSecretRef": {"name": "edge"}}
    return declared("edge", connection=connection).model_copy(
        update={"status": status or ModelClusterStatus()}
    )


def link(state: LinkState, reason: Reason = Reason.CONNECTED) -> ClusterLink:
    return ClusterLink(state=state, since=NOW, reason=reason, message="words")


LINKS = {
    "connected": (link(LinkState.CONNECTED), "True", Reason.CONNECTED),
    "degraded": (link(LinkState.DEGRADED, Reason.DEGRADED), "True", Reason.DEGRADED),
    "silent": (link(LinkState.UNREACHABLE, Reason.UNREACHABLE), "False", Reason.UNREACHABLE),
    "refusing": (link(LinkState.CREDENTIAL_ERROR, Reason.FORBIDDEN), "False", Reason.FORBIDDEN),
    "not asked": (None, "Unknown", Reason.WAITING),
}


@pytest.mark.parametrize(("given", "status", "reason"), LINKS.values(), ids=LINKS)
def test_a_link_is_told(given: ClusterLink | None, status: str, reason: Reason) -> None:
    seen = summarise_cluster(pushed(), sight(), NOW)
    told = summarise_link(pushed(seen), given, LATER)

    assert told.link == given
    assert said(told, "Connected")[:2] == (status, reason)
    # What was seen before stays, and is called old while the cluster cannot be looked at.
    assert (told.nodes, told.cpu, told.observed_at) == (1, "1930m", NOW)
    fresh = "True" if status == "True" else "False"
    assert said(told, "FactsFresh")[0] == said(told, "Schedulable")[0] == fresh
    assert said(told, "Ready")[0] == ("True" if status == "True" else "Unknown")


def test_what_is_seen_of_a_cluster_leaves_its_link_alone() -> None:
    linked = summarise_link(pushed(), link(LinkState.DEGRADED, Reason.DEGRADED), NOW)
    told = summarise_cluster(pushed(linked), sight(), LATER)

    assert told.link == linked.link
    assert said(told, "Connected")[:2] == ("True", Reason.DEGRADED)
    assert said(told, "Schedulable")[0] == "True"


def test_a_link_that_did_not_change_is_not_written() -> None:
    state = link(LinkState.UNREACHABLE, Reason.UNREACHABLE)
    once = summarise_link(pushed(), state, NOW)
    assert summarise_link(pushed(once), state, LATER) == once


def test_a_linked_cluster_that_nobody_looked_at_waits() -> None:
    told = summarise_link(pushed(), link(LinkState.CONNECTED), NOW)
    assert said(told, "Ready")[:2] == ("Unknown", Reason.WAITING)
    assert said(told, "Schedulable")[:2] == ("False", Reason.WAITING)


def test_a_reason_of_a_later_version_is_not_repeated() -> None:
    seen = summarise_cluster(pushed(), sight(), NOW)
    newer = tuple(one.model_copy(update={"reason": "Newer"}) for one in seen.conditions)
    told = summarise_link(
        pushed(seen.model_copy(update={"conditions": newer})), link(LinkState.CONNECTED), LATER
    )
    assert said(told, "Ready")[:2] == ("Unknown", Reason.WAITING)


def test_what_nobody_connects_is_told_with_the_next_step() -> None:
    pull = summarise_link(declared("edge", connection={"mode": "Pull"}), None, NOW)
    assert said(pull, "Connected")[:2] == ("Unknown", Reason.NOT_CONNECTED)
    other = said(summarise_link(declared("edge"), None, NOW), "Connected")
    assert other[:2] == ("False", Reason.NOT_CONNECTED)
    assert "slm cluster join edge" in other[2]


@pytest.mark.parametrize(
    ("orphans", "status", "named"),
    [
        ((), "True", "all placements"),
        (("team/b", "team/a"), "False", "team/a, team/b. They"),
        (tuple(f"team/{n}" for n in range(7)), "False", "team/4 and 2 more"),
    ],
)
def test_placements_that_the_hub_does_not_have_are_named(
    orphans: tuple[str, ...], status: str, named: str
) -> None:
    made = summarise_cluster(cluster(), sight(), NOW, orphans=orphans)

    is_mirrored, reason, message = said(made, "Mirrored")
    assert (is_mirrored, named in message) == (status, True)
    assert reason == (Reason.ORPHANED if orphans else Reason.OBSERVED)


def test_what_was_said_of_orphans_stays_while_nobody_looks() -> None:
    before = cluster(summarise_cluster(cluster(), sight(), NOW, orphans=("team/a",)))

    for made in (
        summarise_cluster(before, None, LATER),
        summarise_link(before, None, LATER),
    ):
        assert said(made, "Mirrored") == said(before.status, "Mirrored")
    assert all(one.type != "Mirrored" for one in summarise_cluster(cluster(), None, NOW).conditions)


def test_a_name_that_is_taken_keeps_new_copies_away() -> None:
    message = "Namespace slm-cluster-edge is there already"

    status = summarise_conflict(declared("edge", connection={"mode": "Pull"}), message, NOW)

    assert ready(status) == ("False", Reason.NAME_CONFLICT, message)
    assert said(status, "Schedulable")[0] == "False"
