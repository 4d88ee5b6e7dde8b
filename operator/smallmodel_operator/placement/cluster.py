"""Placing in a cluster: the first option for which a worker can be had, or why there is none."""

from dataclasses import dataclass

from smallmodel_operator.api.base import amount, human_bytes, seconds
from smallmodel_operator.api.modelplacement import ModelPlacementSpec, WorkerClass
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import SmallModelSpec
from smallmodel_operator.catalog.options import Refusal, ResolvedModel
from smallmodel_operator.placement.candidates import (
    Candidate,
    accelerator_of,
    all_candidates,
    device_percent_of,
    telling,
    threads_of,
)
from smallmodel_operator.placement.cluster_filters import Question, first_refusal
from smallmodel_operator.placement.cluster_incumbent import incumbent_candidate
from smallmodel_operator.placement.cluster_values import ClusterView, Node, PoolSeats
from smallmodel_operator.placement.placement import Placement, Unplaced
from smallmodel_operator.placement.suggest import within_card

__all__ = [
    "ClusterPlacement",
    "ClusterView",
    "Node",
    "PoolSeats",
    "Spot",
    "find_spot",
    "place_in_cluster",
    "placed_at",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlacement:
    """What a cluster serves, and the workers that run it."""

    placement: Placement
    """Its `machine` is the cluster's name."""
    worker: WorkerClass
    new_pool: bool
    """Whether a pool has to be made for it, with a head of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """How a model would run in a cluster; nothing is said of it yet in words."""

    question: Question
    """The option that passed, and what it was asked of."""
    worker: WorkerClass
    new_pool: bool
    """Whether a pool has to be made for it."""
    where: str
    """In which pool."""
    rejected: tuple[Refusal, ...] = ()
    """Better options, and why not these."""

    @property
    def device_percent(self) -> int | None:
        """Hundredths of one device that a replica takes."""
        return device_percent_of(self.question.candidate, self.question.spec)


def place_in_cluster(
    resolved: ResolvedModel,
    spec: SmallModelSpec,
    cluster: ClusterView,
    *,
    namespace: str,
    incumbent: ModelPlacementSpec | None = None,
) -> ClusterPlacement | Unplaced:
    """Return what the cluster serves of a resolved model, or why it can serve nothing of it.

    The arguments are those of `find_spot`.
    """
    spot = find_spot(resolved, spec, cluster, namespace=namespace, incumbent=incumbent)
    return spot if isinstance(spot, Unplaced) else placed_at(spot)


def find_spot(
    resolved: ResolvedModel,
    spec: SmallModelSpec,
    cluster: ClusterView,
    *,
    namespace: str,
    incumbent: ModelPlacementSpec | None = None,
) -> Spot | Unplaced:
    """Return how a resolved model would run in the cluster, or why nothing of it can.

    Args:
        resolved: The options, best first.
        spec: What the user asks for.
        cluster: What was seen of the cluster. Requests of pools are no part of what is taken there:
            a resting model gives way.
        namespace: The model's: a pool of it that has a seat needs no further head.
        incumbent: What runs now, for an earlier spec. It is kept where the changed spec allows it,
            without asking what is free: it has its room.
    """
    if incumbent is not None:
        running = incumbent_candidate(resolved, spec, cluster, incumbent)
        if running is not None:
            question = Question(candidate=running, spec=spec, cluster=cluster, namespace=namespace)
            worker = incumbent.worker.model_copy(update={"max_workers": cluster.max_workers})
            return Spot(question=question, worker=worker, new_pool=False, where="where it was")
    rejected: list[Refusal] = []
    for candidate in all_candidates(resolved, spec, cluster.stocks):
        question = Question(candidate=candidate, spec=spec, cluster=cluster, namespace=namespace)
        refusal = first_refusal(question)
        if refusal is None:
            return _spot(question, tuple(rejected))
        rejected.append(refusal)
    return _nowhere(resolved, spec, cluster, namespace, tuple(rejected))


def placed_at(spot: Spot) -> ClusterPlacement:
    """Return what the cluster serves, with the words for it."""
    question, worker = spot.question, spot.worker
    option, cluster = question.candidate.option, question.cluster
    percent = spot.device_percent
    most, why = _most_replicas(question.spec, cluster)
    parts = [
        f"The variant {option.variant.name} runs with {option.engine} on {cluster.described}, "
        f"{spot.where}: {human_bytes(option.size.total)} awake in workers of class {worker.name} "
        f"({worker.cpu} CPU, {human_bytes(amount(worker.memory))}), {option.context_length} "
        f"tokens of context, {option.slots} requests at a time. {why}",
        *([f"Each takes {percent} % of a device."] if percent is not None else []),
        *_cut_short(question),
        *(f"Not {refusal.variant}: {refusal.message}" for refusal in spot.rejected),
    ]
    return ClusterPlacement(
        placement=Placement(
            machine=cluster.name,
            option=option,
            max_replicas=most,
            threads=_threads(question, worker),
            accelerator=accelerator_of(question.candidate),
            device_percent=percent,
            rejected=spot.rejected,
            message=" ".join(parts),
        ),
        worker=worker,
        new_pool=spot.new_pool,
    )


def _spot(question: Question, rejected: tuple[Refusal, ...]) -> Spot:
    worker = question.with_room[0]
    new_pool = not question.has_seat(worker)
    return Spot(
        question=question,
        worker=worker,
        new_pool=new_pool,
        where="in a new pool" if new_pool else "in a pool that is there",
        rejected=rejected,
    )


def _nowhere(
    resolved: ResolvedModel,
    spec: SmallModelSpec,
    cluster: ClusterView,
    namespace: str,
    rejected: tuple[Refusal, ...],
) -> Unplaced:
    waiting = tuple(refusal for refusal in rejected if refusal.waits)
    reason, told = telling(waiting or rejected)
    if reason is Reason.MEMORY_FIT and not waiting:

        def judge(candidate: Candidate) -> Refusal | None:
            return first_refusal(
                Question(candidate=candidate, spec=spec, cluster=cluster, namespace=namespace)
            )

        told = f"{told} {within_card(resolved, spec, cluster.stocks, judge)}"
    return Unplaced(reason=reason, message=told, rejected=rejected, waits=bool(waiting))


def _threads(question: Question, worker: WorkerClass) -> int | None:
    """Return the threads of one engine on a processor: as many as its worker asks cores for.

    A worker has no limit of its processor, so an engine left to itself would take the whole node.
    """
    if question.candidate.stock is not None:
        return None
    return threads_of(question.candidate.option) or max(1, int(amount(worker.cpu)))


def _cut_short(question: Question) -> tuple[str, ...]:
    """Return what a user has to know who asks for more time than pools give a request."""
    asked = question.spec.scaling.request_timeout
    most = question.cluster.request_timeout_seconds
    if seconds(asked) <= most:
        return ()
    return (
        f"Its requests end after {most:g} s, and not after the {asked} of "
        "spec.scaling.requestTimeout: that is the most that pools give, the chart's "
        "pools.requestTimeout.",
    )


def _most_replicas(spec: SmallModelSpec, cluster: ClusterView) -> tuple[int, str]:
    wanted, room = spec.scaling.max_replicas, cluster.max_workers
    if room < wanted:
        return room, f"At most {room} replicas: a pool has {room} workers with one of them each."
    return wanted, f"At most {wanted} replicas, as spec.scaling.maxReplicas says."
