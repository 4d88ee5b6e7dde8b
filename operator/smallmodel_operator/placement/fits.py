"""Which models of a catalogue fit a machine, licences and secrets aside."""

from dataclasses import dataclass

from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelcard import ModelCard, Task
from smallmodel_operator.api.smallmodel import SmallModel, SmallModelSpec
from smallmodel_operator.catalog.cards import Catalog
from smallmodel_operator.catalog.options import ResolveError
from smallmodel_operator.catalog.resolve import resolve
from smallmodel_operator.catalog.rules import gate_secret
from smallmodel_operator.placement.machine import Machine
from smallmodel_operator.placement.place import place
from smallmodel_operator.placement.placement import Placement, Unplaced


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What one machine could serve of one card, with every setting left at its default."""

    card: ModelCard
    result: Placement | Unplaced | ResolveError


def fits(catalog: Catalog, machine: Machine) -> tuple[Fit, ...]:
    """Return for each card, sorted by name, what the machine could serve of it, or why nothing.

    Restricted licences count as accepted and secrets as there: the question is about size.
    """
    return tuple(Fit(card=card, result=_result(card, catalog, machine)) for card in catalog.cards)


def largest_that_fits(catalog: Catalog, machine: Machine, task: Task | None = None) -> str | None:
    """Return the name of the largest model that fits and that anyone may use at once.

    Args:
        catalog: All cards.
        machine: Where.
        task: What the model must be for; unset: anything.
    """
    names = {
        fit.card.metadata.name: _parameters(fit.card)
        for fit in fits(catalog, machine)
        if isinstance(fit.result, Placement) and _is_free(fit.card, task)
    }
    return max(names, key=lambda name: (names[name], name), default=None)


def _is_free(card: ModelCard, task: Task | None) -> bool:
    terms = card.spec.license
    return task in (None, card.spec.task) and not (terms.restricted or terms.gated)


def _parameters(card: ModelCard) -> int:
    return card.spec.architecture.parameters if card.spec.architecture else 0


def _result(
    card: ModelCard, catalog: Catalog, machine: Machine
) -> Placement | Unplaced | ResolveError:
    spec = SmallModelSpec(model=card.metadata.name, accept_license=card.spec.license.id)
    model = SmallModel(metadata=ObjectMeta(name="fit"), spec=spec)
    resolved = resolve(model, catalog, secrets=frozenset({gate_secret(card)}))
    return resolved if isinstance(resolved, ResolveError) else place(resolved, spec, machine)
