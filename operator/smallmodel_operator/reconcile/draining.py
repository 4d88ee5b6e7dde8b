"""How a copy that moved away is taken down: gateways turn from it first, and its pool goes last.

1. The new copy answers, and the old one is marked. Gateways lead new requests to the new one; the
   old cluster's own gateway does, too.
2. The old copy goes on for `CLUSTER_DRAIN`: a gateway that has not heard yet asks it, and is
   answered.
3. It is deleted, and its Serve lets go of it once the requests that it has are done.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import ANNOTATION_LEAVING_SINCE
from smallmodel_operator.plan.timeouts import CLUSTER_DRAIN
from smallmodel_operator.reconcile.clock import seconds_between
from smallmodel_operator.reconcile.copies import ever_answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """What becomes of the copies that nobody lacks any more."""

    gone: tuple[ModelPlacement, ...] = ()
    """They are taken down now."""
    marked: tuple[ModelPlacement, ...] = ()
    """Gateways turn from them from now on."""
    begun: tuple[ModelPlacement, ...] = ()
    """Those that were wanted until now, which are counted once."""
    seconds_left: float | None = None
    """Until the next one may be taken down."""


NO_DRAINING = Draining()


def drain(unwanted: Iterable[ModelPlacement], now: str) -> Draining:
    """Return which copies are taken down, and which are left by gateways first.

    Args:
        unwanted: Copies in whose place others answer, or that never answered.
        now: RFC 3339 time.
    """
    gone, marked, begun, left = [], [], [], []
    for one in unwanted:
        since = one.metadata.annotations.get(ANNOTATION_LEAVING_SINCE)
        if not ever_answered(one):
            gone.append(one)
            begun.append(one)
        elif since is None:
            marked.append(_annotated(one, {ANNOTATION_LEAVING_SINCE: now}))
            begun.append(one)
            left.append(CLUSTER_DRAIN)
        elif (rest := CLUSTER_DRAIN - seconds_between(since, now)) <= 0:
            gone.append(one)
        else:
            left.append(rest)
    return Draining(
        gone=tuple(gone),
        marked=tuple(marked),
        begun=tuple(begun),
        seconds_left=min(left, default=None),
    )


def taken_back(placement: ModelPlacement) -> ModelPlacement | None:
    """Return a copy that is wanted again without its mark; None where it has none."""
    annotations = dict(placement.metadata.annotations)
    if annotations.pop(ANNOTATION_LEAVING_SINCE, None) is None:
        return None
    metadata = placement.metadata.model_copy(update={"annotations": annotations})
    return placement.model_copy(update={"metadata": metadata})


def _annotated(placement: ModelPlacement, more: dict[str, str]) -> ModelPlacement:
    annotations = placement.metadata.annotations | more
    metadata = placement.metadata.model_copy(update={"annotations": annotations})
    return placement.model_copy(update={"metadata": metadata})
