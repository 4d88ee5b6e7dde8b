"""What an option must pass in a cluster, one function for each question."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Final

from smallmodel_operator.api.base import amount, human_bytes
from smallmodel_operator.api.modelplacement import WorkerClass
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Isolation, SmallModelSpec
from smallmodel_operator.catalog.options import Refusal
from smallmodel_operator.placement.candidates import (
    Candidate,
    devices_refused,
    engine_refusal,
    for_kept,
    kept,
    needs,
    refuse,
)
from smallmodel_operator.placement.cluster_values import ClusterView, Need, Node
from smallmodel_operator.placement.cluster_workers import (
    HEAD_CPU,
    HEAD_MEMORY,
    worker_classes,
)
from smallmodel_operator.placement.once import Once
from smallmodel_operator.placement.packing import Item

_NODES_NAMED: Final = 5
"""Of many nodes so many are named; a message stays readable."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """May this option run in this cluster?"""

    candidate: Candidate
    spec: SmallModelSpec
    cluster: ClusterView
    namespace: str

    @Once
    def workers(self) -> tuple[WorkerClass, ...]:
        """The classes that could run it, the best to share first."""
        return worker_classes(self.candidate, self.spec, self.cluster)

    @property
    def smallest(self) -> WorkerClass:
        """The class that fits where none of the others does."""
        return self.workers[-1]

    @Once
    def at_a_time(self) -> int:
        """Workers that have to be there together: one runs one replica of a model."""
        return min(kept(self.spec), self.cluster.max_workers)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Those that a worker could run on: of the right product, where it needs devices."""
        nodes = self.cluster.nodes
        if self.candidate.stock is None:
            return nodes
        return tuple(node for node in nodes if _devices(self, node, free=False))

    def has_seat(self, worker: WorkerClass) -> bool:
        """Whether a pool is there that the model could join."""
        return self.spec.isolation is Isolation.SHARED and any(
            pool.namespace == self.namespace
            and pool.worker_class == worker.name
            and not pool.dedicated
            and pool.models < self.cluster.models_per_pool
            for pool in self.cluster.pools
        )

    @Once
    def with_room(self) -> tuple[WorkerClass, ...]:
        """The best class to share that has room now, where one has."""
        return tuple(islice(filter(self.fits_free, self.workers), 1))

    def heads(self, worker: WorkerClass) -> int:
        """Heads for which there has to be room, those that are there already included."""
        return len(self.cluster.pools) + (not self.has_seat(worker))

    def fits_free(self, worker: WorkerClass) -> bool:
        """Whether workers and heads find room in what is free now."""
        return self.cluster.has_room(self._need(worker, self.heads(worker)), free=True)

    def fits_ever(self, worker: WorkerClass) -> bool:
        """Whether they would find room on nodes that all take pods, with nothing else on them."""
        return self.cluster.has_room(self._need(worker, 1), free=False)

    def _need(self, worker: WorkerClass, heads: int) -> Need:
        return Need(self.product, _item(worker), self.at_a_time, _HEAD, heads)

    @property
    def product(self) -> str | None:
        """Of the devices that it needs."""
        stock = self.candidate.stock
        return stock.product if stock is not None else None


Filter = Callable[[Question], Refusal | None]

_HARDLY_ANY: Final = "1m"
_GOES_ON: Final = "The model goes on by itself as soon as there is room."
_HEAD: Final = Item(cpu=HEAD_CPU, memory=HEAD_MEMORY, devices=0)


def engine_is_offered(question: Question) -> Refusal | None:
    """Refuse an option for whose engine the installation has no image."""
    step = "Choose a variant for an engine that is there, or set an image for it in the chart."
    return engine_refusal(
        question.candidate, question.cluster.engines, question.cluster.described, step
    )


def accelerator_exists(question: Question) -> Refusal | None:
    """Refuse an option for which no node, even an empty one, has the devices."""
    candidate, count = question.candidate, question.candidate.devices
    if count == 0:
        return None
    nodes = question.cluster.nodes_with_devices
    fitting = sum(_devices(question, node, free=False) // count for node in nodes)
    if fitting >= question.at_a_time:
        return None
    listed = ", ".join(
        f"{node.accelerator.count} x {node.accelerator.product} on {node.described}"
        for node in nodes
        if node.accelerator is not None
    )
    need = count * question.at_a_time
    return devices_refused(candidate, question.spec, need, question.cluster.described, listed)


def device_memory_suffices(question: Question) -> Refusal | None:
    """Refuse an option that needs more memory than its devices have, or where nobody knows."""
    candidate = question.candidate
    stock = candidate.stock
    if stock is None:
        return None
    if stock.memory_bytes is None:
        return refuse(
            candidate,
            Reason.MEMORY_FIT,
            f"How much memory {stock.product} has is not known, and unknown is never taken for "
            "enough. Label its nodes with nvidia.com/gpu.memory, in MiB, as NVIDIA's feature "
            "discovery does.",
        )
    need, have = candidate.option.size.total, stock.memory_bytes * candidate.devices
    if need <= have:
        return None
    return refuse(
        candidate,
        Reason.MEMORY_FIT,
        f"{needs(candidate, need)}, and {candidate.devices} x {stock.product} has "
        f"{human_bytes(have)} for models.",
    )


def worker_fits_ever(question: Question) -> Refusal | None:
    """Refuse an option whose smallest worker fits no node, even with nothing else on it."""
    worker = question.smallest
    # Where one has room now, the smallest has it on empty nodes.
    if question.with_room or question.fits_ever(worker):
        return None
    memory = max((node.memory_bytes for node in question.nodes), default=0)
    cores = max((node.cpu_cores for node in question.nodes), default=0.0)
    reason = _scarce(question.fits_ever(worker.model_copy(update={"cpu": _HARDLY_ANY})))
    step = " Lower spec.resources.cpu, or leave it out." if reason is Reason.CPU_FIT else ""
    return refuse(
        question.candidate,
        reason,
        f"{_need(question, worker, 1)} The largest node of {question.cluster.described} "
        f"has {human_bytes(memory)} and {cores:g} CPU in all.{step}",
    )


def accelerator_is_free(question: Question) -> Refusal | None:
    """Refuse an option whose devices are all taken, until one is free."""
    candidate, stock = question.candidate, question.candidate.stock
    if stock is None:
        return None
    count = candidate.devices
    ready = [node for node in question.cluster.nodes if node.takes_pods]
    fitting = sum(_devices(question, node, free=True) // count for node in ready)
    if fitting >= question.at_a_time:
        return None
    listed = _named(
        f"{node.described} has {_devices(question, node, free=False)}, "
        f"{_devices(question, node, free=True)} of them free"
        for node in question.nodes
    )
    return refuse(
        candidate,
        Reason.ACCELERATOR_CAPACITY,
        f"The variant {candidate.option.variant.name} needs {count * question.at_a_time} x "
        f"{stock.product}{for_kept(question.spec)}, and too few of those in "
        f"{question.cluster.described} are free: {listed}. {_GOES_ON}",
        waits=True,
    )


def worker_fits_now(question: Question) -> Refusal | None:
    """Refuse an option for whose workers there is no room now, until there is."""
    if question.with_room:
        return None
    worker = question.smallest
    ready = [node for node in question.nodes if node.takes_pods]
    away = [node.described for node in question.nodes if not node.takes_pods]
    roomiest = max(ready, key=lambda node: (node.free_memory_bytes, node.name), default=None)
    sentences = [
        _need(question, worker, question.heads(worker)),
        f"Of the nodes that take pods {roomiest.name} has most free: "
        f"{human_bytes(roomiest.free_memory_bytes)} of {human_bytes(roomiest.memory_bytes)}, and "
        f"{roomiest.free_cpu_cores:g} of {roomiest.cpu_cores:g} CPU."
        if roomiest
        else f"No node of {question.cluster.described} takes pods.",
        f"Not counted: {_named(away)}." if away else "",
        _GOES_ON,
    ]
    return refuse(
        question.candidate,
        _scarce(question.fits_free(worker.model_copy(update={"cpu": _HARDLY_ANY}))),
        " ".join(filter(None, sentences)),
        waits=True,
    )


FILTERS: Final[tuple[Filter, ...]] = (
    engine_is_offered,
    accelerator_exists,
    device_memory_suffices,
    worker_fits_ever,
    accelerator_is_free,
    worker_fits_now,
)
"""What can never be comes before what is not so now: nobody waits for the impossible."""


def first_refusal(question: Question) -> Refusal | None:
    """Return what the first filter that an option does not pass says."""
    for check in FILTERS:
        refusal = check(question)
        if refusal is not None:
            return refusal
    return None


def _scarce(fits_with_enough_cpu: bool) -> Reason:
    return Reason.CPU_FIT if fits_with_enough_cpu else Reason.MEMORY_FIT


def _need(question: Question, worker: WorkerClass, heads: int) -> str:
    """Return what the model needs by itself, and what that makes of pods, in two sentences."""
    count = question.at_a_time
    sentence = needs(question.candidate, question.candidate.option.size.total)
    workers = _pods(count, "worker", _item(worker)) + for_kept(question.spec)
    return f"{sentence}. With Ray that takes {workers} and {_pods(heads, 'pool head', _HEAD)}."


def _pods(count: int, what: str, each: Item) -> str:
    asks = f"{human_bytes(each.memory)} and {each.cpu:g} CPU"
    return f"{count} {what} ({asks})" if count == 1 else f"{count} {what}s ({asks} each)"


def _devices(question: Question, node: Node, *, free: bool) -> int:
    return node.devices(question.product, free=free)


def _item(worker: WorkerClass) -> Item:
    devices = worker.accelerator.count if worker.accelerator else 0
    return _asked(worker.cpu, worker.memory, devices)


@lru_cache(maxsize=4096)
def _asked(cpu: str, memory: str, devices: int) -> Item:
    return Item(cpu=amount(cpu), memory=int(amount(memory)), devices=devices)


def _named(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - _NODES_NAMED
    return "; ".join(listed[:_NODES_NAMED]) + (f"; and {more} more" if more > 0 else "")
