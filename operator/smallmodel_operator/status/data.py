"""What clusters say of the claim that a DataSource names becomes the DataSource's status."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.conditions import DataConditionType
from smallmodel_operator.api.datasource import DataSource, DataSourceStatus, FoundClaim, ReadFrom
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.status.summarise import conditions
from smallmodel_operator.status.verdicts import Verdict

_SAID_BY: Final = {
    ReadFrom.VOLUME: "by its volume's node affinity",
    ReadFrom.STORAGE_CLASS: "by its StorageClass",
    ReadFrom.CLUSTER: "by the cluster's own location",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimSight:
    """A claim that is there."""

    phase: str
    """As Kubernetes has it: Pending, Bound or Lost."""
    region: str | None = None
    zone: str | None = None
    size: str | None = None
    """Its capacity."""
    read_from: ReadFrom = ReadFrom.CLUSTER

    @property
    def is_bound(self) -> bool:
        """Whether it has a volume."""
        return self.phase == "Bound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What came of looking for the claim in one cluster."""

    cluster: str
    claim: ClaimSight | None = None
    """None: there is none of that name, or it was not asked."""
    unasked: str | None = None
    """Why the cluster was not asked, or did not answer, and what to do; None: it answered."""


def summarise_source(source: DataSource, looks: Sequence[Look], now: str) -> DataSourceStatus:
    """Return the whole status of a DataSource.

    Args:
        source: With the status before: what was found in a cluster that does not answer lives on.
        looks: One for each cluster that is declared.
        now: RFC 3339 time.

    Returns:
        The new status; equal to the one before where no fact changed.
    """
    claim, generation = source.spec.claim, source.metadata.generation
    if claim is None:
        return DataSourceStatus()
    before = source.status.found if source.status.claim == claim else ()
    known = {one.cluster: one for one in before}
    seen = sorted(looks, key=lambda look: look.cluster)
    made = (known.get(one.cluster) if one.unasked else _found(one) for one in seen)
    found = tuple(one for one in made if one is not None)
    verdicts = {DataConditionType.LOCATED: _located(source, claim, found, seen)}
    return DataSourceStatus(
        observed_generation=generation,
        conditions=conditions(verdicts, source.status.conditions, generation, now),
        claim=claim,
        found=found,
    )


def _found(look: Look) -> FoundClaim | None:
    claim = look.claim
    if claim is None or not claim.is_bound:
        return None
    return FoundClaim(
        cluster=look.cluster,
        region=claim.region,
        zone=claim.zone,
        size=claim.size,
        read_from=claim.read_from,
    )


def _located(
    source: DataSource, claim: str, found: Sequence[FoundClaim], looks: Sequence[Look]
) -> Verdict:
    namespace = source.metadata.namespace
    asked = [one.cluster for one in looks if one.unasked is None]
    unbound = [
        f"{one.claim.phase} in {one.cluster}"
        for one in looks
        if one.claim is not None and not one.claim.is_bound
    ]
    unasked = _unasked(looks)
    if found:
        by_hand = {one.cluster for one in source.spec.locations}
        where = ", ".join(_described(one, by_hand) for one in found)
        waits = [f"It is {', '.join(unbound)}, and has no volume there"] if unbound else []
        said = (f"The claim {claim} is bound in {where}", *waits, *unasked)
        return Verdict("True", Reason.LOCATED, _sentences(said))
    if unbound:
        said = (
            f"The claim {claim} is {', '.join(unbound)}, and data is where a bound claim's volume "
            "is. One that waits for its first consumer is bound when a pod mounts it; else "
            f"`kubectl -n {namespace} describe pvc {claim}` says what it waits for",
            *unasked,
        )
        return Verdict("False", Reason.CLAIM_NOT_BOUND, _sentences(said))
    if asked:
        said = (
            f"The namespace {namespace} has no claim {claim} in {', '.join(asked)}. Correct "
            "spec.claim, make the claim, or write in spec.locations where the data is",
            *unasked,
        )
        return Verdict("False", Reason.CLAIM_NOT_FOUND, _sentences(said))
    return Verdict("Unknown", Reason.CLUSTER_NOT_OBSERVED, _sentences(unasked))


def _described(found: FoundClaim, by_hand: Iterable[str | None]) -> str:
    if found.cluster in by_hand:
        return f"{found.cluster} (where spec.locations counts)"
    place = found.zone or found.region
    said = f"{place} {_SAID_BY[found.read_from]}" if place else _SAID_BY[ReadFrom.CLUSTER]
    return f"{found.cluster} ({', '.join(filter(None, (said, found.size)))})"


def _unasked(looks: Iterable[Look]) -> list[str]:
    """Return why clusters were not asked, each reason once: many may have the same."""
    names: dict[str, list[str]] = {}
    for one in looks:
        if one.unasked is not None:
            names.setdefault(one.unasked, []).append(one.cluster)
    return [f"{', '.join(clusters)}: {why}" for why, clusters in names.items()]


def _sentences(said: Iterable[str]) -> str:
    return ". ".join(said)
