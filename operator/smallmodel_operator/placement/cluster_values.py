"""What placement needs to know about a cluster."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from smallmodel_operator.api.smallmodel import Engine
from smallmodel_operator.placement.machine import AcceleratorStock
from smallmodel_operator.placement.once import Once
from smallmodel_operator.placement.packing import Bin, Item, fit_together


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node, as it was observed. Free is allocatable less the requests of pods not ours."""

    name: str
    schedulable: bool
    """False: cordoned, or with a taint that our pods do not put up with."""
    ready: bool
    cpu_cores: float
    """Allocatable, as all numbers here that are not free."""
    memory_bytes: int
    free_cpu_cores: float
    free_memory_bytes: int
    accelerator: AcceleratorStock | None = None
    """The node's devices, all of one product."""
    free_accelerators: int = 0

    @property
    def takes_pods(self) -> bool:
        """Whether a pod could start there now."""
        return self.ready and self.schedulable

    def has_product(self, product: str) -> bool:
        """Return whether it has devices of a product."""
        return self.accelerator is not None and self.accelerator.product == product

    def devices(self, product: str | None, *, free: bool) -> int:
        """Return its devices of a product, all or those that are free."""
        stock = self.accelerator
        if stock is None or stock.product != product:
            return 0
        return self.free_accelerators if free else stock.count

    def bin(self, product: str | None, *, free: bool) -> Bin:
        """Return what it has room for, with nothing on it or beside what is on it now."""
        return Bin(
            cpu=self.free_cpu_cores if free else self.cpu_cores,
            memory=self.free_memory_bytes if free else self.memory_bytes,
            devices=self.devices(product, free=free),
        )

    @property
    def described(self) -> str:
        """The name, and why it takes no pods where it takes none."""
        if not self.ready:
            return f"{self.name} (not ready)"
        return self.name if self.schedulable else f"{self.name} (cordoned)"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSeats:
    """A pool that is there, and how full it is."""

    namespace: str
    worker_class: str
    models: int
    dedicated: bool


class Need(NamedTuple):
    """Workers and heads that are to find room."""

    product: str | None
    """Of the devices that workers take."""
    worker: Item
    workers: int
    head: Item
    heads: int


@dataclass(frozen=True, kw_only=True)
class ClusterView:
    """One cluster, as it was observed."""

    # Without slots, which would leave no room for what is worked out once and asked for often.

    name: str
    nodes: tuple[Node, ...]
    engines: frozenset[Engine]
    """Engines for which the installation has an image."""
    pools: tuple[PoolSeats, ...]
    """Of all namespaces: each has a head somewhere."""
    models_per_pool: int
    max_workers: int
    """Workers of one pool at most."""
    request_timeout_seconds: float
    """The longest `requestTimeout` that pools honour."""

    @property
    def described(self) -> str:
        """Its name in a sentence."""
        return f"the cluster {self.name}"

    @Once
    def stocks(self) -> tuple[AcceleratorStock, ...]:
        """The devices of all nodes by product."""
        return stocks(self.nodes)

    def most_cores(self, product: str | None) -> float | None:
        """Return the cores of the largest node, or of the largest with devices of a product."""
        known = self._known_cores
        if product not in known:
            known[product] = max(
                (
                    node.cpu_cores
                    for node in self.nodes
                    if product is None or node.has_product(product)
                ),
                default=None,
            )
        return known[product]

    @Once
    def _known_cores(self) -> dict[str | None, float | None]:
        return {}

    @Once
    def known_fits(self) -> dict[str, Any]:
        """What came of fitting models, by all that it depends on beside this: a memory."""
        return {}

    @Once
    def nodes_with_devices(self) -> tuple[Node, ...]:
        """Those of the nodes, whether or not they take pods now."""
        return tuple(node for node in self.nodes if node.accelerator is not None)

    def has_room(self, need: Need, *, free: bool) -> bool:
        """Return whether workers and heads find room together.

        Args:
            need: What has to be there.
            free: In what is free now on nodes that take pods, or on all nodes with nothing on them.
        """
        known = self._known_room.get((need, free))
        if known is None:
            bins = (
                node.bin(need.product, free=free)
                for node in self.nodes
                if node.takes_pods or not free
            )
            known = fit_together(bins, need.worker, need.workers, need.head, need.heads)
            self._known_room[need, free] = known
        return known

    @Once
    def _known_room(self) -> dict[tuple[Need, bool], bool]:
        return {}


def stocks(nodes: Iterable[Node]) -> tuple[AcceleratorStock, ...]:
    """Return the devices of all nodes by product, whether or not these take pods now.

    Where nodes say different memory for one product, the least counts.
    """
    by_product: dict[str, list[AcceleratorStock]] = defaultdict(list)
    for node in nodes:
        if node.accelerator is not None:
            by_product[node.accelerator.product].append(node.accelerator)
    return tuple(_together(product, found) for product, found in sorted(by_product.items()))


def _together(product: str, found: Sequence[AcceleratorStock]) -> AcceleratorStock:
    known = [stock.memory_bytes for stock in found if stock.memory_bytes is not None]
    return AcceleratorStock(
        product=product,
        count=sum(stock.count for stock in found),
        memory_bytes=min(known, default=None),
    )
