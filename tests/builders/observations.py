"""Observations of a model that got as far as its placement, to be changed by each test."""

from typing import Any

from smallmodel_operator.api.fetch import FetchDone
from smallmodel_operator.api.modelcard import Format, Variant
from smallmodel_operator.api.smallmodel import Engine
from smallmodel_operator.catalog.options import Option, Size
from smallmodel_operator.placement.placement import Placement
from smallmodel_operator.status.observation import Observation

MIB = 2**20


def placed() -> Placement:
    """A 4-bit GGUF variant on a machine of two cores."""
    variant = Variant(
        name="q4_1",
        format=Format.GGUF,
        engine=Engine.LLAMA_CPP,
        uri="https://models.example/chat.gguf",
        bits_per_weight=5.0,
    )
    option = Option(
        variant=variant,
        engine=Engine.LLAMA_CPP,
        size=Size(weights=94 * MIB, kv_cache=360 * MIB, compute=60 * MIB, process=200 * MIB),
        kv_bytes_per_token=23040,
        context_length=4096,
        slots=4,
        target_ongoing_requests=3,
        cpu=None,
    )
    return Placement(machine="here", option=option, max_replicas=1, threads=None, message="It fits")


def observation(**changes: Any) -> Observation:
    """A placed model whose weights are there and which Serve has not been told of."""
    done = FetchDone(path="/weights/chat.gguf", bytes=94 * MIB, sha256=None)
    known: dict[str, Any] = {
        "generation": 3,
        "url": "http://127.0.0.1:8080/v1",
        "outcome": placed(),
        "fetch": done,
        "serving_hash": "aaa",
    }
    return Observation(**(known | changes))
