"""Statuses of the SmallModel `team/chat`, made as the operator makes them."""

from builders.placements import NOW, model_placement
from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.fetch import FetchEvent
from smallmodel_operator.api.meta import Condition, ObjectMeta
from smallmodel_operator.api.modelplacement import ModelPlacementStatus
from smallmodel_operator.api.smallmodel import SmallModel, SmallModelSpec, SmallModelStatus
from smallmodel_operator.catalog.options import ResolveError
from smallmodel_operator.placement.placement import Unplaced
from smallmodel_operator.status.placed import observation_of
from smallmodel_operator.status.state import find
from smallmodel_operator.status.summarise import summarise

URL = "http://smallmodel-gateway.smallmodel-system.svc/team/v1"


def model(generation: int = 3) -> SmallModel:
    """The user's object."""
    return SmallModel(
        metadata=ObjectMeta(name="chat", namespace="team", generation=generation),
        spec=SmallModelSpec(model="little-1b"),
    )


def status_of(
    placed: ModelPlacementStatus | None,
    refusal: ResolveError | Unplaced | None = None,
    *,
    previous: SmallModelStatus | None = None,
    generation: int = 5,
    now: str = NOW,
    fetch: FetchEvent | None = None,
) -> SmallModelStatus:
    """The SmallModel's status, where its placement has that status; None: there is none."""
    placement = None if placed is None else model_placement(placed, generation=generation)
    seen = observation_of(model(), placement, refusal, url=URL, fetch=fetch)
    return summarise(seen, previous or SmallModelStatus(), now)


def condition(status: SmallModelStatus, kind: ConditionType) -> Condition:
    """The condition of that type, which has to be there."""
    found = find(status, kind)
    assert found is not None
    return found


def said(status: SmallModelStatus, kind: ConditionType) -> tuple[str, str]:
    """Status and reason of a condition."""
    found = condition(status, kind)
    return found.status, found.reason


def message(status: SmallModelStatus, kind: ConditionType = ConditionType.READY) -> str:
    """What a condition says."""
    return condition(status, kind).message
