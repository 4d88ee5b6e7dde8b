"""The bundled model as vLLM serves it, planned as `slm` plans it."""

from pathlib import Path
from typing import Any

from builders.yaml_objects import YamlObject, small_model
from smallmodel_operator.api.fetch import FetchDone
from smallmodel_operator.api.modelcard import ModelCard
from smallmodel_operator.api.smallmodel import Engine, SmallModel
from smallmodel_operator.catalog.cards import Catalog
from smallmodel_operator.catalog.options import ResolvedModel
from smallmodel_operator.catalog.resolve import resolve
from smallmodel_operator.local.bundled import fetch_bundled_cards
from smallmodel_operator.placement.machine import AcceleratorStock, Machine
from smallmodel_operator.placement.place import place
from smallmodel_operator.placement.placement import Placement
from smallmodel_operator.plan.build import build_model
from smallmodel_operator.plan.pool import PlannedModel

CARD = "smollm2-135m-folder"
PRODUCT = "NVIDIA-L4"

WITHOUT_ACCELERATOR = Machine(
    name="a machine without accelerator",
    cpu_cores=2,
    memory_bytes=16 * 2**30,
    engines=frozenset({Engine.VLLM, Engine.LLAMA_CPP}),
)
WITH_ACCELERATORS = Machine(
    name="a machine with accelerators",
    cpu_cores=2,
    memory_bytes=16 * 2**30,
    engines=frozenset({Engine.VLLM, Engine.LLAMA_CPP}),
    accelerators=(AcceleratorStock(product=PRODUCT, count=4, memory_bytes=24 * 2**30),),
)


def folder_card(folder: Path) -> YamlObject:
    """The bundled model's card, as YAML holds it, with a folder of this machine for vLLM."""
    bundled = fetch_bundled_cards().get("smollm2-135m-instruct")
    assert bundled is not None
    card: YamlObject = bundled.model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude={"status"}
    )
    card["metadata"] = {"name": CARD}
    (variant,) = (v for v in card["spec"]["variants"] if v["format"] == "Safetensors")
    card["spec"]["variants"] = [{**variant, "uri": f"file://{folder}"}]
    return card


def vllm_manifest(name: str = "chat", **spec: Any) -> YamlObject:
    """A SmallModel that asks for vLLM, with a context that one machine has room for."""
    return small_model(name, **{"model": CARD, "engine": "VLLM", "contextLength": 1024, **spec})


def planned_for(machine: Machine, folder: Path, **spec: Any) -> PlannedModel:
    """The model as the pool of a machine would have it, every argument rendered."""
    model = SmallModel.model_validate(vllm_manifest(**spec))
    catalog = Catalog(cards=(ModelCard.model_validate(folder_card(folder)),))
    resolved = resolve(model, catalog)
    assert isinstance(resolved, ResolvedModel), resolved
    placement = place(resolved, model.spec, machine)
    assert isinstance(placement, Placement), placement
    return build_model(
        model, resolved, placement, FetchDone(path=str(folder), bytes=1, sha256=None)
    )
