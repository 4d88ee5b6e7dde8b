"""The ModelPlacements of one cluster, as they came in."""

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, Literal

from pydantic import ValidationError

from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.handlers.objects import Ends, ObjectKey, owner, version_of
from smallmodel_operator.plan.pools.values import Manifest
from smallmodel_operator.reconcile.mirror import is_whole

_LOG: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class Placements:
    """What was decided for one cluster, by namespace and name of the SmallModels."""

    hub_id: str
    mirrored: bool = False
    """They were written for another cluster, whose CRDs may have taken something of them: what is
    not whole counts as what cannot be read."""
    lenient: bool = False
    """A newer program may have written them: fields that are not known here are left out, and what
    had some has another hash than it says."""
    by_model: dict[ObjectKey, ModelPlacement] = field(default_factory=dict)
    assigned: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    """How many placements say that a pool serves them, by namespace and name of the pool."""
    unread: set[ObjectKey] = field(default_factory=set)
    """Keys of those that cannot be read."""
    changes: int = 0
    """How often something of `by_model` changed: what was computed of it is as new as this."""
    _ends: Ends = field(default_factory=Ends)

    def see(self, manifest: Manifest, *, gone: bool) -> ObjectKey | None:
        """Take a ModelPlacement of ours, and return the key of its SmallModel.

        None: it is not ours, or this was known.
        """
        if owner(manifest) != self.hub_id:
            return None
        model = manifest["spec"]["model"]
        key: ObjectKey = (model["namespace"], model["name"])
        known = self.by_model.get(key)
        version = version_of(known.metadata) if known else None
        if not self._ends.is_news(manifest, version, gone=gone):
            return None
        self.unread.discard(key)
        self._drop(key)
        if gone:
            return key
        try:
            unknown: Literal["ignore"] | None = "ignore" if self.lenient else None
            placement = ModelPlacement.model_validate(manifest, extra=unknown)
        except ValidationError as error:
            # Another version of this program wrote it, so what it says has to go on.
            _LOG.warning(
                "ModelPlacement %s cannot be read: %s", manifest["metadata"]["name"], error
            )
            self.unread.add(key)
            return key
        ending = placement.metadata.deletion_timestamp is not None
        if self.mirrored and not ending and not is_whole(placement.spec):
            _LOG.warning("ModelPlacement %s is not whole", placement.metadata.name)
            self.unread.add(key)
            return key
        self.by_model[key] = placement
        self.changes += 1
        self.assigned[key[0], placement.status.pool] += 1
        return key

    def disown(self, name: str) -> None:
        """Drop the placement of that name: somebody took its label away."""
        for key, placement in list(self.by_model.items()):
            if placement.metadata.name == name:
                self._drop(key)

    def within(self, namespace: str) -> tuple[ModelPlacement, ...]:
        """Return the placements of a namespace's models, by name."""
        keys = sorted(key for key in self.by_model if key[0] == namespace)
        return tuple(self.by_model[key] for key in keys)

    def _drop(self, key: ObjectKey) -> None:
        before = self.by_model.pop(key, None)
        if before is not None:
            self.changes += 1
            self.assigned[key[0], before.status.pool] -= 1
