"""What was observed of a cluster, as placement and status take it."""

from typing import Final

from smallmodel_operator.clusters.nodes import NodeFacts
from smallmodel_operator.clusters.observe import ClusterFacts, KubeRayFacts
from smallmodel_operator.placement.cluster import Node
from smallmodel_operator.placement.machine import AcceleratorStock
from smallmodel_operator.plan.pools.values import PoolSettings
from smallmodel_operator.status.cluster import ClusterSight, KubeRay

_FIELDS: Final = "spec.rayClusterConfig.authOptions"


def sight_of(facts: ClusterFacts, settings: PoolSettings) -> ClusterSight:
    """Return what was observed as placement and status take it."""
    return ClusterSight(
        kubernetes_version=facts.kubernetes_version,
        kube_ray=kuberay_of(facts.kuberay),
        nodes=tuple(node_of(node, settings) for node in facts.nodes),
    )


def kuberay_of(facts: KubeRayFacts) -> KubeRay | None:
    """Return KubeRay as a status takes it; None where it is not there."""
    lacks = (_FIELDS,) if facts.token_auth is False else ()
    return KubeRay(version=facts.version, lacks=lacks) if facts.served else None


def node_of(facts: NodeFacts, settings: PoolSettings) -> Node:
    """Return a node as placement takes it.

    Of devices, those count that pools ask for. A taint counts as put up with where workers with
    devices do: such nodes are tainted for everything else.
    """
    wanted = settings.accelerators.resource
    device = next((found for found in facts.accelerators if found.resource == wanted), None)
    tolerated = {one.key for one in (*settings.tolerations, *settings.accelerators.tolerations)}
    return Node(
        name=facts.name,
        schedulable=not facts.cordoned and all(taint.key in tolerated for taint in facts.taints),
        ready=facts.ready,
        cpu_cores=facts.cpu_cores,
        memory_bytes=facts.memory_bytes,
        free_cpu_cores=facts.cpu_cores - facts.requested_cpu_cores,
        free_memory_bytes=facts.memory_bytes - facts.requested_memory_bytes,
        accelerator=AcceleratorStock(
            product=device.product, count=device.allocatable, memory_bytes=device.memory_bytes
        )
        if device
        else None,
        free_accelerators=device.allocatable - device.requested if device else 0,
    )
