"""kopf's part: it watches, and tells of each object."""

from collections.abc import Iterable
from typing import Any, Final

import kopf

from smallmodel_operator.clusters.ref import Resource
from smallmodel_operator.handlers.triggers import Triggers

_GONE: Final = "DELETED"


def registry(triggers: Triggers, resources: Iterable[Resource]) -> kopf.OperatorRegistry:
    """Return the handlers: one for each of these kinds.

    They are `on.event` handlers, so that kopf itself never writes to an object: no annotation, no
    finalizer, no status of its own.
    """
    made = kopf.OperatorRegistry()
    for resource in resources:
        kopf.on.event(resource.group, resource.version, resource.plural, registry=made)(
            _handler(triggers, resource)
        )
    kopf.on.startup(registry=made)(_configure)
    return made


def _handler(triggers: Triggers, resource: Resource) -> Any:
    async def see(event: kopf.RawEvent, **_: Any) -> None:
        manifest = dict(event["object"])
        triggers.see(resource, manifest, gone=event["type"] == _GONE)

    return see


class _NoDiffs(kopf.DiffBaseStorage):
    """Keeps nothing of an object.

    kopf compares each object with what it was for handlers that none of ours is, and copies it
    four times for that: two fifths of the operator's processor time with many models.
    """

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None


class _NoProgress(kopf.ProgressStorage):
    """Keeps nothing of handlers that are to be tried again: none of ours is."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None

    def purge(self, **_: Any) -> None:
        return None

    def touch(self, **_: Any) -> None:
        return None

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


async def _configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.persistence.diffbase_storage = _NoDiffs()
    settings.persistence.progress_storage = _NoProgress()
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.scanning.disabled = False
    # Events of one object within this time are one; the default of 0.1 s would be most of the time
    # from a change to the pool.
    settings.queueing.batch_window = 0.01
    # Each object has a task of kopf's for as long after its last event, and a start tells of all.
    settings.queueing.idle_timeout = 0.2
    settings.queueing.exit_timeout = 0.5
    settings.networking.error_backoffs = [0.5, 1, 2, 5]
