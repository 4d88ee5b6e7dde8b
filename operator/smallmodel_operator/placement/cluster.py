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
    choose,
    device_percent_of,
    telling,
    threads_of,
)
from smallmodel_operator.placement.cluster_filters import Question, first_refusal, worker_of
from smallmodel_operator.placement.cluster_incumbent import incumbent_candidate
from smallmodel_operator.placement.cluster_values import ClusterView, Node, PoolSeats
from smallmodel_operator.placement.placement import Placement, Unplaced
from smallmodel_operator.placement.suggest import within_card

__all__ = ["ClusterPlacement", "ClusterView", "Node", "PoolSeats", "place_in_cluster"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlacement:
    """What a cluster serves, and the workers that run it."""

    placement: Placement
    """Its `machine` is the cluster's name."""
    worker: WorkerClass
    new_pool: bool
    """Whether a pool has to be made for it, with a head of its own."""


def place_in_cluster(
    resolved: ResolvedModel,
    spec: SmallModelSpec,
    cluster: ClusterView,
    *,
    namespace: str,
    incumbent: ModelPlacementSpec | None = None,
) -> ClusterPlacement | Unplaced:
    """Return what the cluster serves of a resolved model, or why it can serve nothing of it.

    Args:
        resolved: The options, best first.
        spec: What the user asks for.
        cluster: What was seen of the cluster. Requests of pools are no part of what is taken there:
            a resting model gives way.
        namespace: The model's: a pool of it that has a seat needs no further head.
        incumbent: What runs now, for an earlier spec. It is kept where the changed spec allows it,
            without asking what is free: it has its room.
    """

    def asked(candidate: Candidate) -> Question:
        return Question(candidate=candidate, spec=spec, cluster=cluster, namespace=namespace)

    def judge(candidate: Candidate) -> Refusal | None:
        return first_refusal(asked(candidate))

    if incumbent is not None:
        running = incumbent_candidate(resolved, spec, cluster, incumbent)
        if running is not None:
            worker = _with_bound(incumbent.worker, cluster)
            return _placed(asked(running), worker, "where it was", new_pool=False)
    choice = choose(resolved, spec, cluster.stocks, judge)
    if choice.candidate is not None:
        question = asked(choice.candidate)
        worker = worker_of(question)
        new_pool = not question.has_seat(worker)
        pool = "in a new pool" if new_pool else "in a pool that is there"
        return _placed(question, worker, pool, choice.rejected, new_pool=new_pool)
    waiting = tuple(refusal for refusal in choice.rejected if refusal.waits)
    reason, told = telling(waiting or choice.rejected)
    if reason is Reason.MEMORY_FIT and not waiting:
        step = within_card(resolved, spec, cluster.stocks, judge)
        told = f"{told} {step}"
    return Unplaced(reason=reason, message=told, rejected=choice.rejected, waits=bool(waiting))


def _placed(
    question: Question,
    worker: WorkerClass,
    pool: str,
    rejected: tuple[Refusal, ...] = (),
    *,
    new_pool: bool,
) -> ClusterPlacement:
    option, cluster = question.candidate.option, question.cluster
    percent = device_percent_of(question.candidate, question.spec)
    most, why = _most_replicas(question.spec, cluster)
    parts = [
        f"The variant {option.variant.name} runs with {option.engine} on {cluster.described}, "
        f"{pool}: {human_bytes(option.size.total)} awake in workers of class {worker.name} "
        f"({worker.cpu} CPU, {human_bytes(amount(worker.memory))}), {option.context_length} "
        f"tokens of context, {option.slots} requests at a time. {why}",
        *([f"Each takes {percent} % of a device."] if percent is not None else []),
        *_cut_short(question),
        *(f"Not {refusal.variant}: {refusal.message}" for refusal in rejected),
    ]
    return ClusterPlacement(
        placement=Placement(
            machine=cluster.name,
            option=option,
            max_replicas=most,
            threads=_threads(question, worker),
            accelerator=accelerator_of(question.candidate),
            device_percent=percent,
            rejected=rejected,
            message=" ".join(parts),
        ),
        worker=worker,
        new_pool=new_pool,
    )


def _with_bound(worker: WorkerClass, cluster: ClusterView) -> WorkerClass:
    return worker.model_copy(update={"max_workers": cluster.max_workers})


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
