"""What a pod asks of its node, as the scheduler counts it."""

from collections.abc import Iterable, Mapping
from typing import Any

from smallmodel_operator.clusters.quantities import amount_of

Amounts = dict[str, float]
"""By resource: CPU in cores, memory in bytes, devices by number."""


def requested_by(spec: Mapping[str, Any]) -> Amounts:
    """Return what a pod with this spec asks of its node.

    Sidecars (init containers that are always restarted) run on beside everything after them:
    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
    A pod's own requests stand for those of all of its containers:
    https://kubernetes.io/docs/tasks/configure-pod-container/assign-pod-level-resources/
    """
    sidecars: Amounts = {}
    starting: Amounts = {}
    for container in spec.get("initContainers") or ():
        asked = _requests(container)
        if container.get("restartPolicy") == "Always":
            sidecars = add(sidecars, asked)
            starting = _most(starting, sidecars)
        else:
            starting = _most(starting, add(sidecars, asked))
    running = _sum([sidecars, *map(_requests, spec.get("containers") or ())])
    of_containers = _most(starting, running)
    # Only for those resources that the pod itself names.
    of_pod = of_containers | _requests(spec)
    return add(of_pod, _amounts(spec.get("overhead")))


def add(one: Mapping[str, float], other: Mapping[str, float]) -> Amounts:
    """Return both together."""
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in one.keys() | other.keys()}


def _most(one: Mapping[str, float], other: Mapping[str, float]) -> Amounts:
    names = one.keys() | other.keys()
    return {name: max(one.get(name, 0.0), other.get(name, 0.0)) for name in names}


def _sum(all_of: Iterable[Mapping[str, float]]) -> Amounts:
    total: Amounts = {}
    for amounts in all_of:
        total = add(total, amounts)
    return total


def _requests(container: Mapping[str, Any]) -> Amounts:
    return _amounts((container.get("resources") or {}).get("requests"))


def _amounts(quantities: Mapping[str, Any] | None) -> Amounts:
    return {name: amount_of(quantity) for name, quantity in (quantities or {}).items()}
