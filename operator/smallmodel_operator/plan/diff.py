"""The difference between two pools, as what will happen to each model and why."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

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


_REPLACING: Final = ("args", "resting_memory_bytes", "accelerator")
_LIGHT: Final = (
    "tuning",
    "scaling",
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
        return Action(model=name, change=Change.REMOVED, reason="its manifest is gone")
    if old is None:
        return Action(model=name, change=Change.ADDED, reason="its manifest is new")
    if restarting := _changed(old, new, _REPLACING):
        return Action(model=name, change=Change.RESTARTED, reason=_sentence(restarting))
    if light := _changed(old, new, _LIGHT):
        return Action(model=name, change=Change.TUNED, reason=_sentence(light))
    return None


def _changed(old: PlannedModel, new: PlannedModel, fields: tuple[str, ...]) -> list[str]:
    names: list[str] = []
    for field in fields:
        was, now = getattr(old, field), getattr(new, field)
        if was == now:
            continue
        members = getattr(type(now), "model_fields", None) if type(was) is type(now) else None
        names.extend(
            [field]
            if members is None
            else (member for member in members if getattr(was, member) != getattr(now, member))
        )
    return names


def _sentence(names: list[str]) -> str:
    words = [name.replace("_", " ") for name in sorted(set(names))]
    return f"{', '.join(words)} changed"
