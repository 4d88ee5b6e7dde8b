"""Builders of SmallModels and machines."""

from collections.abc import Mapping

from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.smallmodel import Engine, SmallModel, SmallModelSpec
from smallmodel_operator.placement.machine import AcceleratorStock, Machine

GIB = 2**30


def spec(fields: Mapping[str, object] | None = None) -> SmallModelSpec:
    """Return a spec of the card `little-1b`, with the given fields as YAML has them."""
    given = dict(fields or {})
    if "source" not in given:
        given.setdefault("model", "little-1b")
    return SmallModelSpec.model_validate(given)


def small_model(fields: Mapping[str, object] | None = None, *, name: str = "chat") -> SmallModel:
    """Return a SmallModel of the card `little-1b`, with the given fields as YAML has them."""
    return SmallModel(metadata=ObjectMeta(name=name), spec=spec(fields))


def machine(
    *,
    memory: int = 8 * GIB,
    cores: int = 4,
    engines: frozenset[Engine] = frozenset({Engine.LLAMA_CPP}),
    accelerators: tuple[AcceleratorStock, ...] = (),
) -> Machine:
    """Return a machine with llama.cpp and no accelerator, with changes."""
    return Machine(
        name="this machine",
        cpu_cores=cores,
        memory_bytes=memory,
        engines=engines,
        accelerators=accelerators,
    )


def gpu(product: str = "NVIDIA-L4", *, count: int = 1, memory: int = 24 * GIB) -> AcceleratorStock:
    """Return devices of one product."""
    return AcceleratorStock(product=product, count=count, memory_bytes=memory)
