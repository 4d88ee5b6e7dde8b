"""ModelPlacements: one that is pinned and not yet served, and what a test says is different."""

from typing import Any

from builders.plan_values import MIB, SHA256, model_args
from smallmodel_operator.api.fetch import FetchDone
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelplacement import (
    ModelPlacement,
    ModelPlacementSpec,
    ModelPlacementStatus,
    ModelReference,
    PinnedWeights,
    PlacedDeployment,
    PlacedProbe,
    Quarantine,
    WorkerClass,
)
from smallmodel_operator.api.names import FINALIZER, placement_name, placement_namespace
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import ModelTuning
from smallmodel_operator.api.smallmodel import Engine, Performance, Scaling

HASH = "0123456789ab"
"""Serving hash of what the spec asks for."""
OLD_HASH = "ba9876543210"
POOL = "cpu-4gi-1-aaaaaaaa"
LATER_POOL = "cpu-4gi-1-bbbbbbbb"
NOW = "2026-11-24T12:00:00Z"


def placement_spec(name: str = "chat", **changes: Any) -> ModelPlacementSpec:
    """A 4-bit GGUF variant in workers of 4 GiB."""
    values: dict[str, Any] = {
        "hub_id": "hub",
        "cluster": "local",
        "model": ModelReference(namespace="team", name=name, generation=3),
        "engine": Engine.LLAMA_CPP,
        "variant": "q4_1",
        "weights": PinnedWeights(uri="hf://org/chat/chat.gguf", sha256=SHA256, bytes=90 * MIB),
        "worker": WorkerClass(name="cpu-4gi", cpu="2", memory="4Gi", max_workers=3),
        "args": model_args(name, weights=""),
        "tuning": ModelTuning(idle_timeout_seconds=300, start_timeout_seconds=60),
        "scaling": Scaling(),
        "max_replicas": 3,
        "max_ongoing_requests": 8,
        "target_ongoing_requests": 3,
        "resting_memory_bytes": 200 * MIB,
        "message": "The variant q4_1 runs with LlamaCpp on the cluster local.",
    }
    return ModelPlacementSpec(**values | changes)


def model_placement(
    status: ModelPlacementStatus | None = None,
    *,
    generation: int = 5,
    spec: ModelPlacementSpec | None = None,
) -> ModelPlacement:
    """A placement of `team/chat` as the API server has it."""
    pinned = spec or placement_spec()
    return ModelPlacement(
        metadata=ObjectMeta(
            name=placement_name("team", pinned.model.name),
            namespace=placement_namespace("local"),
            generation=generation,
            finalizers=(FINALIZER,),
        ),
        spec=pinned,
        status=status or ModelPlacementStatus(),
    )


def placed_status(**changes: Any) -> ModelPlacementStatus:
    """Weights are there, the application runs in its pool, and nobody has asked it yet."""
    values: dict[str, Any] = {
        "observed_generation": 5,
        "pool": POOL,
        "fetch": fetch_done(),
        "serving_hash": HASH,
        "deployment": deployment(),
    }
    return ModelPlacementStatus(**values | changes)


def fetch_done() -> FetchDone:
    """The verified file, in the namespace's claim."""
    return FetchDone(path="/weights/chat.gguf", bytes=90 * MIB, sha256=SHA256)


def deployment(**changes: Any) -> PlacedDeployment:
    """One replica runs what the spec asks for."""
    values: dict[str, Any] = {
        "serving_hash": HASH,
        "healthy": True,
        "failed": False,
        "replicas": 1,
    }
    return PlacedDeployment(**values | changes)


def answer(**changes: Any) -> PlacedProbe:
    """It answered."""
    values: dict[str, Any] = {
        "serving_hash": HASH,
        "passed": True,
        "reason": Reason.VERIFIED,
        "at": NOW,
        "message": "8 chunks came back, the first after 0.21 s",
        "performance": Performance(time_to_first_token_seconds=0.21, tokens_per_second=48.6),
    }
    return PlacedProbe(**values | changes)


def no_answer(reason: Reason, message: str) -> PlacedProbe:
    """It was asked, and this came back."""
    return answer(passed=False, reason=reason, message=message, performance=None)


def quarantine(**changes: Any) -> Quarantine:
    """A revision that could not load twice."""
    values: dict[str, Any] = {
        "serving_hash": HASH,
        "attempts": 2,
        "until": "2026-11-24T12:05:00Z",
        "reason": Reason.LOAD_FAILED,
        "message": "unknown model architecture: 'nothing'",
    }
    return Quarantine(**values | changes)
