"""The difference between two pools, as what will happen to each model and why."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from smallmodel_operator.api.serving import ModelArgs, ModelTuning
from smallmodel_operator.api.smallmodel import Scaling
from smallmodel_operator.plan.pool import PlannedModel, Pool


class Change(StrEnum):
    """What happens to a model."""

    ADDED = "Added"
    REMOVED = "Removed"
    RESTARTED = "Restarted"
    """Its replicas are replaced."""
    TUNED = "Tuned"
    """Its replicas go on, with other bounds or limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One change of one model."""

    model: str
    change: Change
    reason: str
    """One line for a person."""


_ACTOR_FIELDS: Final = ("resting_memory_bytes", "accelerator", "device_percent")
_LIGHT_FIELDS: Final = (
    "max_replicas",
    "max_ongoing_requests",
    "target_ongoing_requests",
    "verified",
)


def diff(before: Pool | None, after: Pool) -> tuple[Action, ...]:
    """Return what it takes to come from one pool to the other, by model name."""
    old = {model.name: model for model in before.models} if before else {}
    new = {model.name: model for model in after.models}
    changes = (_compare(name, old.get(name), new.get(name)) for name in sorted(old.keys() | new))
    return tuple(action for action in changes if action is not None)


def _compare(name: str, old: PlannedModel | None, new: PlannedModel | None) -> Action | None:
    if new is None:
        return Action(model=name, change=Change.REMOVED, reason="no longer wanted")
    if old is None:
        return Action(model=name, change=Change.ADDED, reason="not served before")
    if restarting := _restarting(old, new):
        return Action(model=name, change=Change.RESTARTED, reason=_sentence(restarting))
    if light := _light(old, new):
        return Action(model=name, change=Change.TUNED, reason=_sentence(light))
    return None


def _restarting(old: PlannedModel, new: PlannedModel) -> list[str]:
    return _changed(old.args, new.args, ModelArgs.model_fields) + _changed(old, new, _ACTOR_FIELDS)


def _light(old: PlannedModel, new: PlannedModel) -> list[str]:
    return (
        _changed(old.tuning, new.tuning, ModelTuning.model_fields)
        + _changed(old.scaling, new.scaling, Scaling.model_fields)
        + _changed(old, new, _LIGHT_FIELDS)
    )


def _changed(old: object, new: object, fields: Iterable[str]) -> list[str]:
    return [field for field in fields if getattr(old, field) != getattr(new, field)]


def _sentence(fields: Iterable[str]) -> str:
    words = {field.removesuffix("_seconds").replace("_", " ") for field in fields}
    return f"{', '.join(sorted(words))} changed"
