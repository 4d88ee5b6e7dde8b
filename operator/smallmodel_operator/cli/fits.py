"""What a machine could serve of each card of the catalogue."""

from collections.abc import Iterator
from dataclasses import dataclass

from smallmodel_operator.api.base import human_bytes
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelcard import ModelCard, Task
from smallmodel_operator.api.smallmodel import SmallModel, SmallModelSpec
from smallmodel_operator.catalog.cards import Catalog
from smallmodel_operator.catalog.options import ResolvedModel, ResolveError
from smallmodel_operator.catalog.resolve import resolve
from smallmodel_operator.catalog.rules import DEFAULT_SECRET
from smallmodel_operator.placement.machine import Machine
from smallmodel_operator.placement.place import place
from smallmodel_operator.placement.placement import Placement, Unplaced


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """One card on one machine, with every default, as if licence and secret were settled."""

    card: ModelCard
    outcome: Placement | Unplaced | ResolveError

    @property
    def summary(self) -> str:
        """What would be served, or the reason why not."""
        match self.outcome:
            case Placement(option=option):
                return f"{option.variant.name}, {human_bytes(option.size.total)}"
            case Unplaced(reason=reason) | ResolveError(reason=reason):
                return f"no: {reason}"


def fit_of(card: ModelCard, machine: Machine) -> Fit:
    """Return what the machine could serve of a card."""
    resolved = _resolved(card)
    if isinstance(resolved, ResolveError):
        return Fit(card=card, outcome=resolved)
    return Fit(card=card, outcome=place(resolved, _spec(card), machine))


def fits(catalog: Catalog, machine: Machine) -> Iterator[Fit]:
    """Yield what the machine could serve of each card, by name."""
    return (fit_of(card, machine) for card in catalog.cards)


def largest_that_fits(catalog: Catalog, machine: Machine, task: Task) -> str | None:
    """Return the card of that task with the most parameters of those that fit, if any does."""
    placed = [
        fit.card
        for fit in fits(catalog, machine)
        if fit.card.spec.task is task and isinstance(fit.outcome, Placement)
    ]
    best = max(placed, key=lambda card: (_parameters(card), card.metadata.name), default=None)
    return best.metadata.name if best else None


def _parameters(card: ModelCard) -> int:
    return card.spec.architecture.parameters if card.spec.architecture else 0


def _spec(card: ModelCard) -> SmallModelSpec:
    terms = card.spec.license
    return SmallModelSpec(
        model=card.metadata.name, accept_license=terms.id if terms.restricted else None
    )


def _resolved(card: ModelCard) -> ResolvedModel | ResolveError:
    secret = card.spec.secret_ref.name if card.spec.secret_ref else DEFAULT_SECRET
    return resolve(
        SmallModel(metadata=ObjectMeta(name="any"), spec=_spec(card)),
        Catalog(cards=(card,)),
        secrets=frozenset([secret]),
    )
