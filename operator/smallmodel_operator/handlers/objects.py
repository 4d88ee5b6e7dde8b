"""What lists and events tell of any object: which one it is, and whether it is news."""

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.names import LABEL_HUB, LOCAL_CLUSTER, placement_namespace
from smallmodel_operator.clusters.ref import MODELPLACEMENTS, Manifest, Resource

ObjectKey: TypeAlias = tuple[str, str]
"""Namespace and name."""

_BURIED_MAX: Final = 10_000


@dataclass(slots=True)
class Ends:
    """The ends of objects that were seen, so that what is older than them is not taken for news."""

    _buried: dict[str, None] = field(default_factory=dict)
    """The identities of objects that were seen to be gone, the oldest first."""

    def is_news(self, manifest: Manifest, known: Manifest | None, *, gone: bool) -> bool:
        """Return whether an object, or that it is gone, is not known yet.

        Events come in their order, but what this program wrote is known before its event, and lists
        may be older than both.

        Args:
            manifest: The object as it is told.
            known: The metadata of what is known under its name.
            gone: It is told that the object is gone.
        """
        metadata = manifest["metadata"]
        uid = metadata.get("uid")
        another = known is not None and known.get("uid") not in {None, uid}
        if gone:
            self._bury(uid)
            return not another
        if uid in self._buried:
            return False
        if uid is None or known is None or another:
            return True
        # https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions: versions
        # of one object are numbers that grow.
        return int(metadata["resourceVersion"]) > int(known["resourceVersion"])

    def _bury(self, uid: str | None) -> None:
        if uid is not None:
            self._buried[uid] = None
        while len(self._buried) > _BURIED_MAX:
            del self._buried[next(iter(self._buried))]


def key_of(manifest: Manifest) -> ObjectKey:
    """Return the namespace and name of an object; no namespace is an empty one."""
    metadata = manifest["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def owner(manifest: Manifest) -> str | None:
    """Return the id of the installation that owns an object."""
    labels: dict[str, Any] = manifest["metadata"].get("labels") or {}
    return labels.get(LABEL_HUB)


def version_of(metadata: ObjectMeta) -> Manifest:
    """Return what tells one version of an object from another."""
    return {"uid": metadata.uid, "resourceVersion": metadata.resource_version}


def is_later(metadata: Manifest, version: str) -> bool:
    """Return whether an object is known at a later version than that."""
    return int(metadata.get("resourceVersion") or 0) > int(version or 0)


def namespaces_of(resource: Resource, watched: tuple[str, ...]) -> tuple[str, ...]:
    """Return where objects of a kind are looked for; nothing: everywhere.

    Args:
        resource: The kind.
        watched: The namespaces with models, in which alone the operator may read, or none.
    """
    if not watched or not resource.namespaced:
        return ()
    return (placement_namespace(LOCAL_CLUSTER),) if resource is MODELPLACEMENTS else watched
