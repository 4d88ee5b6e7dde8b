"""A pool: the models of one Ray cluster, each pinned to the option that was chosen for it."""

from dataclasses import dataclass

from smallmodel_operator.api.serving import ModelArgs, ModelTuning
from smallmodel_operator.api.smallmodel import Accelerator, Scaling


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedModel:
    """One model of a pool, with all that the Serve config and the gateway need."""

    name: str
    args: ModelArgs
    """A change of these restarts the model's application."""
    tuning: ModelTuning
    """A change of these reaches running replicas."""
    scaling: Scaling
    max_replicas: int
    """What has room; at most `scaling.max_replicas`."""
    max_ongoing_requests: int
    target_ongoing_requests: int
    resting_memory_bytes: int
    """Memory of a replica whose weights are not loaded: what Ray is asked for."""
    accelerator: Accelerator | None = None
    """Devices of each replica."""
    device_percent: int | None = None
    """Hundredths of one device that a replica takes; unset: the devices are its own."""
    verified: bool = False
    """True: it answered before, so its number of replicas is left to Ray's autoscaler."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """All models of one Ray cluster. A partial list would delete the models that it lacks."""

    models: tuple[PlannedModel, ...]
