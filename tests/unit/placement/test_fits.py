"""Which models fit a machine, and which is the largest that anyone may use."""

import pytest

from builders.cards import GATED, LIMITED, CardBuilder, architecture, catalog, gguf
from builders.models import GIB, machine
from smallmodel_operator.api.modelcard import Closed, Task
from smallmodel_operator.placement.fits import fits, largest_that_fits
from smallmodel_operator.placement.machine import AcceleratorStock


def card(name: str, billions: float, **changes: object) -> CardBuilder:
    shape = architecture(parameters=round(billions * 1e9))
    fields = {"name": name, "architecture": shape, "variants": (gguf(bits=5),)} | changes
    return CardBuilder(**fields)  # type: ignore[arg-type] # a dict of the builder's own fields


SHELF = catalog(
    card("closed", 2, variants=(), closed=Closed(reason="Not published", alternatives=("small",))),
    card("embedder", 0.1, task=Task.EMBEDDING),
    card("gated", 3, license=GATED, secret="ours"),
    card("huge", 70),
    card("medium", 2),
    card("restricted", 4, license=LIMITED),
    card("small", 1),
    CardBuilder(name="unknown", architecture=None),
)


def test_each_card_says_what_would_be_served_or_why_nothing() -> None:
    found = {fit.card.metadata.name: fit.summary for fit in fits(SHELF, machine(memory=8 * GIB))}

    assert list(found) == sorted(found)
    assert found["closed"] == "no: ClosedModel"
    assert found["huge"] == "no: MemoryFit"
    assert found["unknown"] == "no: ArchitectureUnknown"
    for name in ("embedder", "gated", "medium", "restricted", "small"):
        assert found[name].startswith("q4_k_m, ")


@pytest.mark.parametrize(
    ("memory", "task", "largest"),
    [
        (8 * GIB, None, "medium"),
        (1.5 * GIB, None, "small"),
        (8 * GIB, Task.EMBEDDING, "embedder"),
        (8 * GIB, Task.COMPLETION, None),
        (0, None, None),
    ],
)
def test_the_largest_is_open_to_anyone_and_of_the_task(
    memory: float, task: Task | None, largest: str | None
) -> None:
    assert largest_that_fits(SHELF, machine(memory=int(memory)), task) == largest


def test_a_card_of_unknown_size_is_never_the_largest() -> None:
    shelf = catalog(CardBuilder(name="unknown", architecture=None), card("small", 1))

    assert largest_that_fits(shelf, machine()) == "small"


@pytest.mark.parametrize(
    ("memory", "words"),
    [(24 * GIB, "2 x NVIDIA-L4 with 24 GiB"), (None, "2 x NVIDIA-L4 with unknown memory")],
)
def test_devices_are_described_with_their_memory(memory: int | None, words: str) -> None:
    stock = AcceleratorStock(product="NVIDIA-L4", count=2, memory_bytes=memory)

    assert stock.described == words
