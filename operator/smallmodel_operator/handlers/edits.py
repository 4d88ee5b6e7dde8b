"""What somebody wrote into objects of ours is told, with its paths, before it is taken back."""

import logging
from typing import Final

from smallmodel_operator.clusters.edits import describe_edits, edits_of
from smallmodel_operator.clusters.events import About, Events, EventType
from smallmodel_operator.clusters.ref import Manifest, ref_of

_LOG: Final = logging.getLogger(__name__)

EDIT_TAKEN_BACK: Final = "EditTakenBack"


class Edits:
    """Tells of edits in one cluster.

    Attributes:
        taken_back: How many fields were told of.
    """

    def __init__(self, events: Events, cluster: str) -> None:
        """Make it.

        Args:
            events: Writes into the cluster, where who edited looks.
            cluster: The ModelCluster.
        """
        self._events = events
        self._cluster = cluster
        self.taken_back = 0

    async def tell(self, live: Manifest, wanted: Manifest) -> None:
        """Log what others wrote that `wanted` takes back, and write it as an Event of the object.

        Args:
            live: The object as it is, with who manages its fields.
            wanted: What is about to be written over it.
        """
        edits = edits_of(live, wanted)
        if not edits:
            return
        self.taken_back += len(edits)
        message = (
            f"Somebody wrote {describe_edits(edits)}. It is set back to what was decided: "
            "change the SmallModel instead"
        )
        _LOG.warning("%s: %s", ref_of(live), message, extra={"cluster": self._cluster})
        about = About.of(live)
        await self._events.record(about, EDIT_TAKEN_BACK, message, type_=EventType.WARNING)
