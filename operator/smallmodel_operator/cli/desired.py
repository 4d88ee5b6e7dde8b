"""What manifests ask for: read, then held against the catalogue, each fault at its line."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from smallmodel_operator.api.modelcard import ModelCard
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.catalog.cards import Catalog
from smallmodel_operator.catalog.options import ResolveError
from smallmodel_operator.catalog.resolve import resolve
from smallmodel_operator.catalog.rules import DEFAULT_SECRET
from smallmodel_operator.local.bundled import fetch_bundled_cards
from smallmodel_operator.local.manifests import (
    KINDS,
    Kinds,
    Manifest,
    ManifestSet,
    Problem,
    read_manifests,
)
from smallmodel_operator.local.yamldoc import Document, read_documents

_FIELDS: Final = {
    Reason.UNKNOWN_MODEL: "spec.model",
    Reason.CLOSED_MODEL: "spec.model",
    Reason.UNKNOWN_VARIANT: "spec.variant",
    Reason.LICENSE_NOT_ACCEPTED: "spec.acceptLicense",
    Reason.SECRET_MISSING: "spec.model",
    Reason.ENGINE_CANNOT_RUN: "spec.engine",
    Reason.CONTEXT_TOO_LONG: "spec.contextLength",
    Reason.ENGINE_ARG_REFUSED: "spec.engineArgs",
    Reason.SOURCE_NOT_SUPPORTED: "spec.source.uri",
    Reason.ARCHITECTURE_UNKNOWN: "spec.resources.memory",
    Reason.MEMORY_FIT: "spec.model",
    Reason.ENGINE_NOT_INSTALLED: "spec.engine",
    Reason.ACCELERATOR_MISSING: "spec.resources.accelerator",
}
"""The field that a person would change for each reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """Manifests, and the catalogue with the cards among them."""

    manifests: ManifestSet
    catalog: Catalog

    @property
    def models(self) -> tuple[tuple[Manifest, SmallModel], ...]:
        """The SmallModels, each with where it was written."""
        return tuple(
            (manifest, manifest.object)
            for manifest in self.manifests.manifests
            if isinstance(manifest.object, SmallModel)
        )


def read_desired(paths: Sequence[Path], kinds: Kinds = KINDS) -> Desired:
    """Read manifests from files and folders; what cannot be read is a problem in the result."""
    manifests = read_manifests(paths, kinds)
    catalog = fetch_bundled_cards().extended_by(manifests.cards)
    return Desired(manifests=manifests, catalog=catalog)


def catalogue_problems(desired: Desired) -> tuple[Problem, ...]:
    """Return what the catalogue refuses, whatever the machine.

    Secrets are taken as given: the place where a manifest is checked is seldom the one where it
    runs. The same goes for weights that were named directly, whose size is known once fetched.
    """
    problems: list[Problem] = []
    for manifest, model in desired.models:
        answer = resolve(model, desired.catalog, secrets=_all_secrets(desired.catalog, model))
        if not isinstance(answer, ResolveError):
            continue
        if answer.reason is Reason.ARCHITECTURE_UNKNOWN and model.spec.source:
            continue
        problems.append(located(manifest, answer.reason, answer.message))
    return tuple(problems)


def missing_secrets(desired: Desired, secrets: frozenset[str]) -> tuple[Problem, ...]:
    """Return the models whose weights need a secret that is not among these."""
    problems: list[Problem] = []
    for manifest, model in desired.models:
        answer = resolve(model, desired.catalog, secrets=secrets)
        if isinstance(answer, ResolveError) and answer.reason is Reason.SECRET_MISSING:
            problems.append(located(manifest, answer.reason, answer.message))
    return tuple(problems)


def located(manifest: Manifest, reason: Reason, message: str) -> Problem:
    """Return a problem at the line of the field that a person would change."""
    field = _FIELDS.get(reason, "")
    if field == "spec.model" and isinstance(manifest.object, SmallModel):
        field = "spec.model" if manifest.object.spec.model else "spec.source"
    return Problem(
        file=manifest.file,
        line=_line(manifest, tuple(field.split("."))),
        field=field,
        message=message,
        reason=reason,
    )


def _line(manifest: Manifest, location: Sequence[str]) -> int:
    """Return the line of a field, or of its nearest parent that is written there.

    A manifest keeps only the line where it starts, because most are never asked for another.
    """
    for document in read_documents(Path(manifest.file).read_text(encoding="utf-8-sig")):
        if isinstance(document, Document) and document.line_of(()) == manifest.line:
            return document.line_of(location)
    return manifest.line


def _all_secrets(catalog: Catalog, model: SmallModel) -> frozenset[str]:
    source = model.spec.source
    own = [source.secret_ref.name] if source and source.secret_ref else []
    return frozenset([DEFAULT_SECRET, *own, *_secrets_of(catalog.cards)])


def _secrets_of(cards: Iterable[ModelCard]) -> Iterable[str]:
    return (card.spec.secret_ref.name for card in cards if card.spec.secret_ref)
