"""The rules that a SmallModel, its card and each variant must pass, one function each.

Each returns nothing, or why not as a reason and a message that says the value, the rule and the
next step. `resolve` asks them in the order of the two tuples at the end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.modelcard import Format, ModelCard, Variant
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Engine, Isolation, SmallModel
from smallmodel_operator.catalog import engine_args
from smallmodel_operator.catalog.options import Refusal, ResolveError

DEFAULT_SECRET: Final = "huggingface"  # noqa: S105 - the name of a Secret, not its content

_ENGINE_OF: Final = {Format.GGUF: Engine.LLAMA_CPP, Format.SAFETENSORS: Engine.VLLM}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """All that a rule may look at."""

    model: SmallModel
    card: ModelCard
    secrets: frozenset[str]
    """Names of the Secrets that the model's namespace has."""


ModelRule = Callable[[Question], ResolveError | None]
VariantRule = Callable[[Question, Variant], Refusal | None]


def engine_of(variant: Variant) -> Engine:
    """Return the engine that runs the variant's format."""
    return _ENGINE_OF[variant.format]


def weights_are_published(question: Question) -> ResolveError | None:
    """Refuse a closed model, and name open ones of its size."""
    closed = question.card.spec.closed
    if closed is None:
        return None
    return ResolveError(
        reason=Reason.CLOSED_MODEL,
        message=f"{question.card.metadata.name}: {closed.reason.rstrip('.')}. Set spec.model to an "
        f"open model of its size: {', '.join(closed.alternatives)}.",
    )


def license_is_accepted(question: Question) -> ResolveError | None:
    """Refuse a restricted licence that the user did not accept by its id."""
    terms, accepted = question.card.spec.license, question.model.spec.accept_license
    if not terms.restricted or accepted == terms.id:
        return None
    given = f"spec.acceptLicense is {accepted!r}" if accepted else "spec.acceptLicense is not set"
    where = f", read it at {terms.url}" if terms.url else ""
    return ResolveError(
        reason=Reason.LICENSE_NOT_ACCEPTED,
        message=f"The weights of {question.card.metadata.name} come under {terms.name}, which "
        f"restricts their use, and {given}. To accept it{where} and set "
        f"`acceptLicense: {terms.id}`.",
    )


def secret_is_there(question: Question) -> ResolveError | None:
    """Refuse weights that need a token when the Secret that should hold it is missing."""
    name = _needed_secret(question)
    if name is None or name in question.secrets:
        return None
    why = (
        "are given only to accounts that asked for access"
        if question.card.spec.license.gated
        else "are to be fetched with a secret"
    )
    source = question.card.spec.provenance.card
    ask = f"Ask for access at {source}, then put" if source else "Put"
    return ResolveError(
        reason=Reason.SECRET_MISSING,
        message=f"The weights of {question.card.metadata.name} {why}, and the namespace "
        f"{question.model.metadata.namespace} has no Secret {name!r}. {ask} the token into the "
        f"key `token` of that Secret, or on one machine into the file "
        f"$XDG_CONFIG_HOME/smallmodel/secrets/{name} (the variable HF_TOKEN is not read).",
    )


def _needed_secret(question: Question) -> str | None:
    source, card = question.model.spec.source, question.card.spec
    if source is not None:
        return source.secret_ref.name if source.secret_ref else None
    if not card.license.gated:
        return None
    return gate_secret(question.card)


def gate_secret(card: ModelCard) -> str:
    """Return the name of the Secret that opens a card's gated weights."""
    return card.spec.secret_ref.name if card.spec.secret_ref else DEFAULT_SECRET


def variant_exists(question: Question) -> ResolveError | None:
    """Refuse a variant that the card does not have."""
    wanted = question.model.spec.variant
    names = [variant.name for variant in question.card.spec.variants]
    if wanted is None or wanted in names:
        return None
    return ResolveError(
        reason=Reason.UNKNOWN_VARIANT,
        message=f"{question.card.metadata.name} has no variant {wanted!r}. "
        f"Set spec.variant to one of: {', '.join(names)}; or leave it out for the best that fits.",
    )


def engine_knows_architecture(question: Question) -> ResolveError | None:
    """Refuse the engine that the user asked for where the card says that it cannot run this."""
    refusal = _engine_refusal(question.card, question.model.spec.engine)
    if refusal is None:
        return None
    others = {engine_of(variant) for variant in question.card.spec.variants}
    able = sorted(engine for engine in others if _engine_refusal(question.card, engine) is None)
    step = f" Set `engine: {able[0]}` or leave it out." if able else ""
    return ResolveError(
        reason=Reason.ENGINE_CANNOT_RUN,
        message=f"{question.model.spec.engine} cannot run {question.card.metadata.name}: "
        f"{refusal.rstrip('.')}.{step}",
    )


def context_is_within_training(question: Question) -> ResolveError | None:
    """Refuse more context than the model was trained for."""
    wanted, most = question.model.spec.context_length, question.card.spec.context_length
    if wanted is None or wanted <= most:
        return None
    return ResolveError(
        reason=Reason.CONTEXT_TOO_LONG,
        message=f"spec.contextLength is {wanted}, and {question.card.metadata.name} was trained "
        f"for at most {most} tokens. Set contextLength to {most} or less.",
    )


def size_can_be_known(question: Question) -> ResolveError | None:
    """Refuse a model of unknown architecture unless the user says what memory it needs."""
    if question.card.spec.architecture or question.model.spec.resources.memory:
        return None
    return ResolveError(
        reason=Reason.ARCHITECTURE_UNKNOWN,
        message=f"Nothing says how many layers and heads {question.card.metadata.name} has, so "
        "the memory it needs is unknown, and unknown is not taken for zero. Set "
        "spec.resources.memory to what one replica may use.",
    )


def engine_is_able(question: Question, variant: Variant) -> Refusal | None:
    """Refuse a variant whose engine cannot run this architecture."""
    refusal = _engine_refusal(question.card, engine_of(variant))
    if refusal is None:
        return None
    return Refusal(
        variant=variant.name,
        reason=Reason.ENGINE_CANNOT_RUN,
        message=f"{engine_of(variant)} cannot run {question.card.metadata.name}: "
        f"{refusal.rstrip('.')}.",
    )


def engine_reads_format(question: Question, variant: Variant) -> Refusal | None:
    """Refuse a variant in a format that the wanted engine does not read."""
    able, card_says, wanted = engine_of(variant), variant.engine, question.model.spec.engine
    if card_says not in (Engine.AUTO, able):
        return Refusal(
            variant=variant.name,
            reason=Reason.ENGINE_CANNOT_RUN,
            message=f"The card gives the variant {variant.name} to {card_says}, and only {able} "
            f"reads {variant.format}. Correct the card's `engine` of this variant.",
        )
    if wanted in (Engine.AUTO, able):
        return None
    return Refusal(
        variant=variant.name,
        reason=Reason.ENGINE_CANNOT_RUN,
        message=f"spec.engine is {wanted}, and the variant {variant.name} is {variant.format}, "
        f"which {able} runs. Set `engine: {able}`, or choose another variant.",
    )


def engine_uses_accelerator(question: Question, variant: Variant) -> Refusal | None:
    """Refuse llama.cpp where the user asks for an accelerator: its build here uses the CPU."""
    wanted = question.model.spec.resources.accelerator
    if wanted is None or engine_of(variant) is not Engine.LLAMA_CPP:
        return None
    return Refusal(
        variant=variant.name,
        reason=Reason.ENGINE_CANNOT_RUN,
        message=f"spec.resources.accelerator asks for {wanted.class_}, and LlamaCpp, which runs "
        f"the variant {variant.name}, uses the CPU only. Leave the accelerator out, or choose a "
        "Safetensors variant.",
    )


def engine_args_are_allowed(question: Question, variant: Variant) -> Refusal | None:
    """Refuse a variant whose engine does not take one of the user's arguments."""
    engine = engine_of(variant)
    for name, value in sorted(question.model.spec.engine_args.items()):
        fault = _argument_fault(question, engine, name, value)
        if fault is not None:
            return Refusal(variant=variant.name, reason=Reason.ENGINE_ARG_REFUSED, message=fault)
    return None


def _argument_fault(question: Question, engine: Engine, name: str, value: str) -> str | None:
    safe, unsafe = engine_args.ALLOWED[engine], engine_args.UNSAFE[engine]
    values = safe.get(name) or unsafe.get(name)
    if values is None:
        return (
            f"spec.engineArgs has {name!r}, which is not among those that {engine} takes here: "
            f"{', '.join(sorted(safe | unsafe))}. Remove it."
        )
    if not values.allows(value):
        return (
            f"spec.engineArgs sets {name} to {value!r}, and {engine} takes {values.rule()} here. "
            "Correct or remove it."
        )
    if name in safe:
        return None
    if not question.card.spec.allow_unsafe_args:
        return (
            f"spec.engineArgs has {name!r}, which can import code or read files, and the card "
            f"{question.card.metadata.name} does not set `allowUnsafeArgs: true`. Remove it, or "
            "ask whoever keeps the cards."
        )
    if question.model.spec.isolation is not Isolation.DEDICATED:
        return (
            f"spec.engineArgs has {name!r}, which can import code or read files, so the model must "
            "not share a pool. Set `isolation: Dedicated` or remove it."
        )
    return None


def _engine_refusal(card: ModelCard, engine: Engine) -> str | None:
    return next((r.reason for r in card.spec.engine_refusals if r.engine is engine), None)


MODEL_RULES: Final[tuple[ModelRule, ...]] = (
    weights_are_published,
    license_is_accepted,
    secret_is_there,
    variant_exists,
    engine_knows_architecture,
    context_is_within_training,
    size_can_be_known,
)
"""What must hold before any variant is looked at."""

VARIANT_RULES: Final[tuple[VariantRule, ...]] = (
    engine_is_able,
    engine_reads_format,
    engine_uses_accelerator,
    engine_args_are_allowed,
)
"""What must hold for each variant, from the most basic to the most particular."""
