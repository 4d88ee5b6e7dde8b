"""What placement needs to know about a cluster."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from smallmodel_operator.api.smallmodel import Engine
from smallmodel_operator.placement.machine import AcceleratorStock


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """One cluster, as it was observed."""

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
