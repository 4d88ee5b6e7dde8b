"""Events on SmallModels: one for each change of what people wait for."""

from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.smallmodel import SmallModelStatus
from smallmodel_operator.clusters.events import About, Events, EventType
from smallmodel_operator.clusters.ref import SMALLMODELS
from smallmodel_operator.status.events import diff_events


class EventWriter:
    """Tells people who look at a SmallModel what changed."""

    def __init__(self, events: Events) -> None:
        self._events = events

    async def tell(
        self, metadata: ObjectMeta, before: SmallModelStatus, after: SmallModelStatus
    ) -> None:
        """Write what the new status of a SmallModel says that the old one did not."""
        about = About(
            ref=SMALLMODELS.ref(metadata.name, metadata.namespace), uid=metadata.uid or ""
        )
        for event in diff_events(before, after):
            await self._events.record(
                about, event.reason, event.message, type_=EventType(event.type)
            )
