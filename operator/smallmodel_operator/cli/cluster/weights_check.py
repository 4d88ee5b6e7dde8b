"""The check of `slm doctor` whether fetched weights have a volume to lie in."""

from collections.abc import AsyncIterator
from typing import Any, Final

from smallmodel_operator.cli.cluster.examined import Examined
from smallmodel_operator.cli.cluster.observed import Observed, default_settings
from smallmodel_operator.cli.findings import Finding, Level
from smallmodel_operator.plan.pools.values import VolumeKind

_DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"


async def check_weights(examined: Examined) -> AsyncIterator[Finding]:
    """Tell whether fetched weights have a volume to lie in."""
    from smallmodel_operator.clusters import errors
    from smallmodel_operator.clusters.ref import CLAIMS, STORAGE_CLASSES

    session, observed = examined.session, examined.observed
    settings = observed.settings if isinstance(observed, Observed) else default_settings()
    volume = settings.weights_volume.volume()
    if volume.kind is VolumeKind.POOL:
        yield Finding(
            Level.OK,
            "weights",
            f"each worker of a pool fetches what it serves, at most {volume.size}; no claim is "
            "needed",
        )
        return
    try:
        claim = await session.api.get(CLAIMS.ref(volume.claim, session.namespace))
    except errors.Forbidden as error:
        yield Finding(Level.NOTE, "weights", f"not looked at: {error}")
        return
    name = f"the claim {session.namespace}/{volume.claim}"
    if claim is not None:
        yield _claim(examined, claim, name)
        return
    if not volume.create:
        yield Finding(
            Level.FAIL,
            "weights",
            f"{name} is not there, and the chart's weights.volume.existingClaim says that it is "
            "yours to make; make it",
        )
        return
    try:
        classes, _ = await session.api.list(STORAGE_CLASSES)
    except errors.Forbidden as error:
        yield Finding(Level.NOTE, "weights", f"{name} is made with the first model; {error}")
        return
    yield _storage(name, volume.storage_class, classes)


def _claim(examined: Examined, claim: dict[str, Any], name: str) -> Finding:
    phase = (claim.get("status") or {}).get("phase", "Pending")
    if phase == "Bound":
        size = ((claim.get("status") or {}).get("capacity") or {}).get("storage", "")
        return Finding(Level.OK, "weights", f"{name} is bound {size}".rstrip())
    command = examined.command(
        f"-n {claim['metadata']['namespace']} describe pvc {claim['metadata']['name']}"
    )
    return Finding(
        Level.WARN,
        "weights",
        f"{name} is {phase}: it waits for its first pod, or for a volume; see {command}",
    )


def _storage(name: str, wanted: str | None, classes: list[dict[str, Any]]) -> Finding:
    names = [one["metadata"]["name"] for one in classes]
    defaults = [
        one["metadata"]["name"]
        for one in classes
        if (one["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"
    ]
    chosen = wanted or (defaults[0] if defaults else None)
    if chosen in names:
        return Finding(Level.OK, "weights", f"{name} is made with the first model, by {chosen}")
    listed = ", ".join(names) or "none"
    missing = f"there is no StorageClass {wanted!r}" if wanted else "no StorageClass is the default"
    return Finding(
        Level.WARN,
        "weights",
        f"{missing} (there are: {listed}), so {name} is never bound unless a PersistentVolume is "
        "there for it; set weights.volume.storageClassName or weights.volume.existingClaim of the "
        "chart, or weights.volume.kind=Pool, which needs no claim",
    )
