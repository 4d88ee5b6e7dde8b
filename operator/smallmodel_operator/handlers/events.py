"""Events on SmallModels: one for each change of what people wait for."""

from smallmodel_operator.api.smallmodel import SmallModel, SmallModelStatus
from smallmodel_operator.clusters.events import About, Events, EventType
from smallmodel_operator.clusters.ref import SMALLMODELS
from smallmodel_operator.status.events import diff_events


class EventWriter:
    """Tells people who look at a SmallModel what changed."""

    def __init__(self, events: Events) -> None:
        self._events = events

    async def tell(self, model: SmallModel, after: SmallModelStatus) -> None:
        """Write what the new status says that the old one did not."""
        metadata = model.metadata
        about = About(
            ref=SMALLMODELS.ref(metadata.name, metadata.namespace), uid=metadata.uid or ""
        )
        for event in diff_events(model.status, after):
            await self._events.record(
                about, event.reason, event.message, type_=EventType(event.type)
            )
