"""What else of the same card would fit: another variant, or less context."""

from collections.abc import Sequence
from typing import Final

from smallmodel_operator.api.base import human_bytes
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.smallmodel import SmallModel, SmallModelSpec
from smallmodel_operator.catalog.options import ResolvedModel
from smallmodel_operator.catalog.resolve import options_for
from smallmodel_operator.catalog.rules import Question
from smallmodel_operator.placement.candidates import Judge, candidates
from smallmodel_operator.placement.machine import AcceleratorStock

# Contexts that people use; what lies between them is not worth a suggestion of its own.
_CONTEXTS: Final = (4096, 2048, 1024, 512)


def within_card(
    resolved: ResolvedModel,
    spec: SmallModelSpec,
    stocks: Sequence[AcceleratorStock],
    judge: Judge,
) -> str:
    """Return what a person could change so that the model fits, as a sentence."""
    if spec.resources.memory:
        return f"Lower spec.resources.memory, {spec.resources.memory}, which counts as the size."
    smaller = smaller_that_fits(resolved, spec, stocks, judge)
    return f"What fits: {smaller}." if smaller else "No variant of this card fits there."


def smaller_that_fits(
    resolved: ResolvedModel,
    spec: SmallModelSpec,
    stocks: Sequence[AcceleratorStock],
    judge: Judge,
) -> str | None:
    """Return the settings that make the model fit: as much context as wanted, or less."""
    wanted = resolved.options[0].context_length
    for context in (wanted, *(length for length in _CONTEXTS if length < wanted)):
        changed = spec.model_copy(update={"variant": None, "context_length": context})
        model = SmallModel(metadata=ObjectMeta(name=resolved.name), spec=changed)
        question = Question(model=model, card=resolved.card, secrets=frozenset())
        for option in options_for(question)[0]:
            if any(judge(found) is None for found in candidates(option, spec, stocks)):
                return (
                    f"`variant: {option.variant.name}` with `contextLength: {context}` "
                    f"({human_bytes(option.size.total)})"
                )
    return None
