"""A SmallModel and the catalogue become a list of options, best first, or the reason why not."""

from collections.abc import Iterable
from dataclasses import replace

from smallmodel_operator.api.base import amount
from smallmodel_operator.api.fetch import FetchDone
from smallmodel_operator.api.modelcard import ModelCard, ModelCardSpec, Variant
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Engine, SmallModel, SmallModelSpec, Source
from smallmodel_operator.catalog import engine_args, rules, sizing
from smallmodel_operator.catalog.cards import Catalog
from smallmodel_operator.catalog.from_weights import SCHEMES, card_from_weights, scheme
from smallmodel_operator.catalog.options import (
    Option,
    Refusal,
    ResolvedModel,
    ResolveError,
    Size,
)


def resolve(
    model: SmallModel,
    catalog: Catalog,
    *,
    secrets: frozenset[str] = frozenset(),
    weights: FetchDone | None = None,
) -> ResolvedModel | ResolveError:
    """Return what can be served of a SmallModel, best first, or why nothing can.

    Args:
        model: What the user asks for.
        catalog: All cards.
        secrets: Names of the Secrets in the model's namespace.
        weights: What fetching `spec.source` found; read only where the model has a source.
    """
    card = _card(model, catalog, weights)
    if isinstance(card, ResolveError):
        return card
    question = rules.Question(model=model, card=card, secrets=secrets)
    for model_rule in rules.MODEL_RULES:
        error = model_rule(question)
        if error is not None:
            return error
    options, refusals = options_for(question)
    if not options:
        return _nothing_left(refusals)
    return ResolvedModel(
        name=model.metadata.name,
        card=card,
        options=options,
        refusals=refusals,
        engine_options=_engine_options(model.spec),
    )


def options_for(question: rules.Question) -> tuple[tuple[Option, ...], tuple[Refusal, ...]]:
    """Return what passes the rules for variants, best first, and what does not."""
    spec, card = question.model.spec, question.card.spec
    options: list[Option] = []
    refusals: list[Refusal] = []
    for variant in sorted(_wanted(spec, card), key=_preference):
        refusal = _first_refusal(question, variant)
        if refusal is None:
            options.append(_option(spec, card, variant))
        else:
            refusals.append(refusal)
    return tuple(options), tuple(refusals)


def _card(
    model: SmallModel, catalog: Catalog, weights: FetchDone | None
) -> ModelCard | ResolveError:
    source, name = model.spec.source, model.spec.model
    if source is not None:
        return _card_of_source(model, source, weights)
    card = catalog.get(name) if name else None
    if card is not None:
        return card
    nearest = catalog.nearest(name or "")
    step = f"Did you mean {' or '.join(nearest)}? " if nearest else ""
    return ResolveError(
        reason=Reason.UNKNOWN_MODEL,
        message=f"spec.model is {name!r}, and no ModelCard has that name. {step}"
        "`slm catalog list` prints all.",
    )


def _card_of_source(
    model: SmallModel, source: Source, weights: FetchDone | None
) -> ModelCard | ResolveError:
    if scheme(source.uri) in SCHEMES:
        return card_from_weights(model.metadata.name, model.spec, source, weights)
    return ResolveError(
        reason=Reason.SOURCE_NOT_SUPPORTED,
        message=f"spec.source.uri is {source.uri!r}, and {scheme(source.uri)!r} is not a scheme "
        f"that is read here. Use one of: {', '.join(SCHEMES)}.",
    )


def _wanted(spec: SmallModelSpec, card: ModelCardSpec) -> Iterable[Variant]:
    return (v for v in card.variants if spec.variant in (None, v.name))


def _preference(variant: Variant) -> tuple[bool, float, str]:
    """Order variants: those for an accelerator first, then by how much of the model they keep.

    A machine without the engine or the device skips the first ones, so a GPU gets full precision
    and a CPU the most bits that fit.
    """
    return (
        rules.engine_of(variant) is not Engine.VLLM,
        -variant.bits_per_weight,
        variant.name,
    )


def _first_refusal(question: rules.Question, variant: Variant) -> Refusal | None:
    for rule in rules.VARIANT_RULES:
        refusal = rule(question, variant)
        if refusal is not None:
            return refusal
    return None


def _nothing_left(refusals: tuple[Refusal, ...]) -> ResolveError:
    """Report the refusal that says most: an argument's fault before an engine's."""
    by_argument = tuple(r for r in refusals if r.reason is Reason.ENGINE_ARG_REFUSED)
    told = by_argument or refusals
    messages = dict.fromkeys(refusal.message for refusal in told)
    return ResolveError(reason=told[0].reason, message=" ".join(messages))


def _engine_options(spec: SmallModelSpec) -> tuple[tuple[str, str], ...]:
    """Return the arguments that no field of an option says already."""
    return tuple(
        (name, value)
        for name, value in sorted(spec.engine_args.items())
        if name not in engine_args.SLOTS
    )


def _option(spec: SmallModelSpec, card: ModelCardSpec, variant: Variant) -> Option:
    engine = rules.engine_of(variant)
    context = spec.context_length or sizing.default_context(card)
    load = sizing.load_of(engine, context, spec.engine_args)
    return Option(
        variant=variant,
        engine=engine,
        size=_size(spec, card, variant, load),
        kv_bytes_per_token=(
            sizing.kv_bytes_per_token(card.architecture, card.task, load.kv_element_bytes)
            if card.architecture
            else 0
        ),
        context_length=context,
        slots=load.slots,
        target_ongoing_requests=spec.scaling.target_ongoing_requests
        or sizing.target_ongoing_requests(load.slots),
        cpu=amount(spec.resources.cpu) if spec.resources.cpu else None,
    )


def _size(spec: SmallModelSpec, card: ModelCardSpec, variant: Variant, load: sizing.Load) -> Size:
    engine = rules.engine_of(variant)
    memory = round(amount(spec.resources.memory)) if spec.resources.memory else None
    if card.architecture is None:
        # The rule `size_can_be_known` lets no unknown architecture pass without declared memory.
        return sizing.declared_size(engine, variant, memory or 0)
    compute = sizing.vllm_size if engine is Engine.VLLM else sizing.llama_cpp_size
    return replace(compute(card.architecture, card.task, variant, load), declared=memory)
