"""What placement needs to know about a machine."""

from dataclasses import dataclass

from smallmodel_operator.api.base import human_bytes
from smallmodel_operator.api.smallmodel import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceleratorStock:
    """Devices of one product."""

    product: str
    count: int
    memory_bytes: int | None
    """Of each; unset where nothing says it."""

    @property
    def described(self) -> str:
        """How many of what, with how much memory."""
        memory = "unknown memory" if self.memory_bytes is None else human_bytes(self.memory_bytes)
        return f"{self.count} x {self.product} with {memory}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine, as it was observed."""

    name: str
    cpu_cores: int
    memory_bytes: int
    """What models may use together: all memory, less what the serving stack itself needs."""
    engines: frozenset[Engine]
    """Engines that are installed."""
    accelerators: tuple[AcceleratorStock, ...] = ()
