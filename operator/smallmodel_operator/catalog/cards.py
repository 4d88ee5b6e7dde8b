"""The catalogue: ModelCards by name, read from YAML text that somebody else opened."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml
from pydantic import ValidationError

from smallmodel_operator.api.modelcard import ModelCard

_NEAREST: Final = 3
# libyaml reads the shipped cards ten times faster than PyYAML's own loader; both are safe.
_LOADER: Final[type[Any]] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class CardError(ValueError):
    """A card that is not YAML, breaks the schema, or has another card's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Cards sorted by name; no two have the same one."""

    cards: tuple[ModelCard, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all cards, sorted."""
        return tuple(card.metadata.name for card in self.cards)

    def get(self, name: str) -> ModelCard | None:
        """Return the card of that name."""
        return next((card for card in self.cards if card.metadata.name == name), None)

    def extended_by(self, cards: Iterable[ModelCard]) -> "Catalog":
        """Return a catalogue with these cards too; one of a known name replaces that card."""
        merged = {card.metadata.name: card for card in (*self.cards, *cards)}
        return Catalog(cards=tuple(merged[name] for name in sorted(merged)))

    def nearest(self, name: str) -> tuple[str, ...]:
        """Return at most three names that a mistyped name probably meant, best first."""
        return tuple(difflib.get_close_matches(name, self.names, n=_NEAREST, cutoff=0.5))


def parse_cards(texts: Mapping[str, str]) -> Catalog:
    """Return the catalogue that multi-document YAML texts describe, whatever their order.

    Args:
        texts: What the files hold, by the name that an error shall give them.

    Raises:
        CardError: A document is not YAML or not a ModelCard, or a name is taken; the message
            names the file and the field.
    """
    cards: dict[str, ModelCard] = {}
    files: dict[str, str] = {}
    for file, text in sorted(texts.items()):
        for card in _cards(file, text):
            name = card.metadata.name
            if name in cards:
                raise CardError(
                    f"{file}: metadata.name {name!r} is already a card of {files[name]}; "
                    "names are unique: rename one"
                )
            cards[name], files[name] = card, file
    return Catalog(cards=tuple(cards[name] for name in sorted(cards)))


def _cards(file: str, text: str) -> Iterator[ModelCard]:
    try:
        documents = list(yaml.load_all(text, Loader=_LOADER))
    except yaml.YAMLError as error:
        raise CardError(f"{file}: not valid YAML: {error}") from error
    for number, document in enumerate(documents, start=1):
        if document is None:
            continue
        try:
            yield ModelCard.model_validate(document)
        except ValidationError as error:
            raise CardError(f"{file}: {_label(document, number)}: {_fields(error)}") from error


def _label(document: object, number: int) -> str:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f"card {name!r}" if name else f"document {number}"


def _fields(error: ValidationError) -> str:
    faults = [
        f"{'.'.join(map(str, fault['loc'])) or 'the document'}: {fault['msg']}"
        for fault in error.errors(include_url=False)
    ]
    return "; ".join(sorted(faults))
