"""Objects of others are never touched: what is ours says so by a label."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from smallmodel_operator.api.names import LABEL_HUB
from smallmodel_operator.clusters.api import Api, Propagation
from smallmodel_operator.clusters.compare import is_applied, stamp
from smallmodel_operator.clusters.errors import Conflict, NameConflict
from smallmodel_operator.clusters.ref import Manifest, Ref, ref_of

Overwriting: TypeAlias = Callable[[Manifest, Manifest], Awaitable[None]]
"""Called with an object as it is, before what it is to be is written over it."""


async def tell_nobody(_live: Manifest, _wanted: Manifest) -> None:
    """Overwrite without a word."""


def owner_of(manifest: Mapping[str, Any]) -> str | None:
    """Return the id of the installation that owns the object, or None."""
    labels = (manifest.get("metadata") or {}).get("labels") or {}
    owner: str | None = labels.get(LABEL_HUB)
    return owner


def check_owned(live: Mapping[str, Any], hub_id: str) -> None:
    """Return when the object belongs to this installation.

    Raises:
        NameConflict: It is somebody else's.
    """
    owner = owner_of(live)
    if owner == hub_id:
        return
    says = f"belongs to the installation {owner}" if owner else f"has no label {LABEL_HUB}"
    raise NameConflict(
        f"{ref_of(live)} is there already and {says}; "
        f"this installation ({hub_id}) does not touch it: rename or delete it"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What came of applying."""

    live: Manifest
    """The object as it is now."""
    written: bool
    """False: it was so already or is being deleted, and nothing was sent."""

    @property
    def ending(self) -> bool:
        """Whether the object is being deleted: it is made again when it is gone, and not now."""
        return _is_ending(self.live)


async def apply_owned(
    api: Api,
    manifest: Mapping[str, Any],
    hub_id: str,
    *,
    resource_version: str | None = None,
    overwriting: Overwriting = tell_nobody,
) -> Applied:
    """Have our object be as the manifest says, unless it is so already or is being deleted.

    Args:
        api: Where.
        manifest: Carries the label of this installation.
        hub_id: The id of this installation.
        resource_version: The version that the manifest was computed from, if another one, or
            none, is to be a conflict.
        overwriting: Called before another version is written.

    Raises:
        NameConflict: The object is somebody else's.
        ApiError: It could not be read or written.
        ValueError: The manifest lacks the label.
    """
    if owner_of(manifest) != hub_id:
        raise ValueError(f"{ref_of(manifest)} is to be ours and lacks the label {LABEL_HUB}")
    stamped = stamp(manifest)
    live = await api.get(ref_of(manifest))
    if live is None:
        if resource_version is not None:
            raise Conflict(
                f"{ref_of(manifest)} is gone, and was at {resource_version} when its manifest was "
                "computed; it is computed again"
            )
        # Without force, an object that somebody makes in this moment is a conflict.
        made = await api.apply(stamped, force=False)
        return Applied(live=made, written=True)
    check_owned(live, hub_id)
    if _is_ending(live):
        return Applied(live=live, written=False)
    if resource_version in {None, live["metadata"]["resourceVersion"]} and is_applied(
        live, stamped
    ):
        return Applied(live=live, written=False)
    await overwriting(live, stamped)
    uid = live["metadata"]["uid"]
    after = await api.apply(stamped, resource_version=resource_version, uid=uid)
    return Applied(live=after, written=True)


async def delete_owned(
    api: Api, ref: Ref, hub_id: str, *, propagation: Propagation = "Background"
) -> bool:
    """Delete our object; False where it was gone already.

    Raises:
        NameConflict: The object is somebody else's.
        ApiError: It could not be read or deleted.
    """
    live = await api.get(ref)
    if live is None:
        return False
    check_owned(live, hub_id)
    if _is_ending(live):
        return True
    return await api.delete(ref, uid=live["metadata"]["uid"], propagation=propagation)


def _is_ending(live: Mapping[str, Any]) -> bool:
    return bool(live["metadata"].get("deletionTimestamp"))
