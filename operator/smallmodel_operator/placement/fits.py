"""Which models of a catalogue fit a machine, licences and secrets aside."""

from dataclasses import dataclass

from smallmodel_operator.api.base import human_bytes
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
    """One card on one machine, with every default, as if licence and secret were settled."""

    card: ModelCard
    outcome: Placement | Unplaced | ResolveError

    @property
    def summary(self) -> str:
        """What would be served, or the reason why not."""
        if isinstance(self.outcome, Placement):
            option = self.outcome.option
            return f"{option.variant.name}, {human_bytes(option.size.total)}"
        return f"no: {self.outcome.reason}"


def fit_of(card: ModelCard, machine: Machine) -> Fit:
    """Return what the machine could serve of a card, or why nothing."""
    spec = SmallModelSpec(model=card.metadata.name, accept_license=card.spec.license.id)
    model = SmallModel(metadata=ObjectMeta(name="any"), spec=spec)
    secrets = frozenset({gate_secret(card)})
    resolved = resolve(model, Catalog(cards=(card,)), secrets=secrets)
    if isinstance(resolved, ResolveError):
        return Fit(card=card, outcome=resolved)
    return Fit(card=card, outcome=place(resolved, spec, machine))


def fits(catalog: Catalog, machine: Machine) -> tuple[Fit, ...]:
    """Return for each card, sorted by name, what the machine could serve of it."""
    return tuple(fit_of(card, machine) for card in catalog.cards)


def largest_that_fits(catalog: Catalog, machine: Machine, task: Task | None = None) -> str | None:
    """Return the name of the largest model that fits and that anyone may use at once.

    Args:
        catalog: All cards.
        machine: Where.
        task: What the model must be for; unset: anything.
    """
    sizes = {
        fit.card.metadata.name: _parameters(fit.card)
        for fit in fits(catalog, machine)
        if isinstance(fit.outcome, Placement) and _is_free(fit.card, task)
    }
    return max(sizes, key=lambda name: (sizes[name], name), default=None)


def _is_free(card: ModelCard, task: Task | None) -> bool:
    terms = card.spec.license
    return task in (None, card.spec.task) and not (terms.restricted or terms.gated)


def _parameters(card: ModelCard) -> int:
    return card.spec.architecture.parameters if card.spec.architecture else 0
