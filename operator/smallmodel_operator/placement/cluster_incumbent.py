"""Whether what was pinned before can stay when a changed spec is placed anew.

An edit of limits must not move a model, and must not fail because others took the room meanwhile.
"""

from smallmodel_operator.api.base import amount
from smallmodel_operator.api.modelplacement import ModelPlacementSpec, WorkerClass
from smallmodel_operator.api.smallmodel import SmallModelSpec
from smallmodel_operator.catalog.options import ResolvedModel
from smallmodel_operator.placement.candidates import Candidate, accelerator_of, candidates, kept
from smallmodel_operator.placement.cluster_values import ClusterView
from smallmodel_operator.placement.cluster_workers import (
    DEFAULT_CPU,
    WORKER_OVERHEAD,
    host_bytes,
    memory_of,
)


def incumbent_candidate(
    resolved: ResolvedModel,
    spec: SmallModelSpec,
    cluster: ClusterView,
    incumbent: ModelPlacementSpec,
) -> Candidate | None:
    """Return the candidate that runs now and may go on, or None where it has to be chosen anew.

    Args:
        resolved: What the changed spec allows.
        spec: The changed spec.
        cluster: Where it runs.
        incumbent: What was pinned before.
    """
    if incumbent.engine not in cluster.engines or incumbent.isolation is not spec.isolation:
        return None
    if kept(spec) > max(1, incumbent.scaling.min_replicas):
        # More workers than before have to be there together.
        return None
    for option in resolved.options:
        if (option.engine, option.variant.name) != (incumbent.engine, incumbent.variant):
            continue
        for candidate in candidates(option, spec, cluster.stocks):
            if _holds(incumbent.worker, candidate):
                return candidate
    return None


def _holds(worker: WorkerClass, candidate: Candidate) -> bool:
    cpu, wanted = amount(worker.cpu), candidate.option.cpu
    return (
        worker.accelerator == accelerator_of(candidate)
        and host_bytes(candidate) + WORKER_OVERHEAD <= memory_of(worker)
        and (cpu == wanted if wanted is not None else cpu <= DEFAULT_CPU)
    )
