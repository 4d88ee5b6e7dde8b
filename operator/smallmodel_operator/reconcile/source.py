"""Weights that a user named directly: they are fetched first, and their card is made of them."""

from typing import Final

from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import SmallModel, Source
from smallmodel_operator.catalog.cards import Catalog
from smallmodel_operator.catalog.from_weights import SCHEMES, scheme
from smallmodel_operator.catalog.options import ResolveError
from smallmodel_operator.catalog.resolve import resolve
from smallmodel_operator.plan.placements import source_weights
from smallmodel_operator.plan.pools.fetchjob import job_name
from smallmodel_operator.plan.pools.values import PoolSettings
from smallmodel_operator.reconcile.sight import JobSight
from smallmodel_operator.reconcile.weights import FetchStep, fetch_step, known_fetch

LOCAL_SCHEME: Final = "file"

_KNOWN_BEFORE_FETCHING: Final = frozenset({Reason.SOURCE_NOT_SUPPORTED, Reason.SECRET_MISSING})


def source_job(model: SmallModel) -> str | None:
    """Return the name of the Job that fetches what the card is made of; None for a card's model."""
    source = model.spec.source
    return job_name(source_weights(source)) if source is not None else None


def needs_source_job(model: SmallModel, placement: ModelPlacement | None) -> bool:
    """Return whether a model's card is still to be made of what the Job fetches.

    Args:
        model: A SmallModel.
        placement: Its placement, which keeps the result once it has taken it.
    """
    job = source_job(model)
    if job is None or model.metadata.deletion_timestamp:
        return False
    return placement is None or known_fetch(placement.status, job) is None


def source_step(
    model: SmallModel,
    source: Source,
    placement: ModelPlacement | None,
    seen: JobSight | None,
    secrets: frozenset[str],
    settings: PoolSettings,
    now: str,
) -> FetchStep | ResolveError:
    """Decide what comes next for the weights of a source, or say why they are not fetched.

    Args:
        model: What the user asks for.
        source: Its source.
        placement: That of an earlier spec, which may have fetched the same.
        seen: The Job, where there is one.
        secrets: Names of the Secrets in the model's namespace.
        settings: The installation's choices.
        now: RFC 3339 time.
    """
    refusal = _refused(model, source, secrets)
    if refusal is not None:
        return refusal
    weights = source_weights(source)
    known = known_fetch(placement.status, job_name(weights)) if placement else None
    return fetch_step(weights, known, seen, settings, now)


def _refused(model: SmallModel, source: Source, secrets: frozenset[str]) -> ResolveError | None:
    if scheme(source.uri) == LOCAL_SCHEME:
        others = ", ".join(f"{name}://" for name in SCHEMES if name != LOCAL_SCHEME)
        return ResolveError(
            reason=Reason.SOURCE_NOT_SUPPORTED,
            message=f"spec.source.uri is {source.uri!r}: a path is that of one machine, and pods "
            "see no files of their node. Put the weights into a PersistentVolumeClaim and write "
            f"`pvc://<claim>/<path>`, or use one of: {others}.",
        )
    early = resolve(model, Catalog(cards=()), secrets=secrets)
    if isinstance(early, ResolveError) and early.reason in _KNOWN_BEFORE_FETCHING:
        return early
    return None
