"""What else of the same card would fit: another variant, or less context."""

from typing import Final

from smallmodel_operator.api.base import human_bytes
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.smallmodel import SmallModel, SmallModelSpec
from smallmodel_operator.catalog.options import Option, ResolvedModel
from smallmodel_operator.catalog.resolve import options_for
from smallmodel_operator.catalog.rules import Question
from smallmodel_operator.placement.filters import candidates, first_refusal
from smallmodel_operator.placement.machine import Machine

# Contexts that people use; what lies between them is not worth a suggestion of its own.
_CONTEXTS: Final = (4096, 2048, 1024, 512)


def smaller_that_fits(
    resolved: ResolvedModel, spec: SmallModelSpec, machine: Machine
) -> str | None:
    """Return the settings that make the model fit: as much context as wanted, or less."""
    wanted = resolved.options[0].context_length
    for context in (wanted, *(length for length in _CONTEXTS if length < wanted)):
        changed = spec.model_copy(update={"variant": None, "context_length": context})
        model = SmallModel(metadata=ObjectMeta(name=resolved.name), spec=changed)
        question = Question(model=model, card=resolved.card, secrets=frozenset())
        for option in options_for(question)[0]:
            if _fits(option, spec, machine):
                return (
                    f"`variant: {option.variant.name}` with `contextLength: {context}` "
                    f"({human_bytes(option.size.total)})"
                )
    return None


def _fits(option: Option, spec: SmallModelSpec, machine: Machine) -> bool:
    return any(
        first_refusal(candidate, spec, machine) is None
        for candidate in candidates(option, spec, machine)
    )
