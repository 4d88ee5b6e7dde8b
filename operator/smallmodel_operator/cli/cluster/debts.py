"""What clusters that were removed unseen still have of ours, and what becomes of it on return.

Nothing ends because a list lacks something: of each model, whatever would keep it is looked up by
its name.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, ValidationError

from smallmodel_operator.api.base import ApiModel
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.names import LABEL_HUB, LABEL_MANAGED_BY, MANAGER, placement_namespace
from smallmodel_operator.cli.cluster.fleet import Hub
from smallmodel_operator.cli.cluster.joining import Tell
from smallmodel_operator.cli.cluster.session import Session
from smallmodel_operator.plan.pools.values import Manifest
from smallmodel_operator.reconcile.pace import drops_max

DEBTS: Final = "smallmodel-debts"
"""The ConfigMap that says what removed clusters still have of ours."""


class Debt(ApiModel):
    """What one cluster had when it was removed."""

    cluster_uid: Annotated[str | None, Field(alias="clusterUID")] = None
    """Unset: no hub had ever seen it."""
    removed_at: str = ""
    placements: tuple[str, ...] = ()
    """Names."""


class Fate(StrEnum):
    """What becomes of one model that a returned cluster still has."""

    GONE = "gone"
    """The cluster has it no more."""
    WANTED = "wanted"
    """It is placed there again."""
    WAITS = "waits"
    """Nobody decided yet where it is to be, so it may be wanted there."""
    ENDS = "ends"
    """Its SmallModel is no more, or is placed elsewhere alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Owed:
    name: str
    model: str
    fate: Fate


async def record_debt(hub: Hub, cluster: ModelCluster, placements: list[Manifest]) -> None:
    """Keep in mind what a cluster that is removed unseen still has.

    Raises:
        ApiError: It could not be written.
    """
    link = cluster.status.link
    debt = Debt(
        cluster_uid=link.cluster_uid if link else None,
        removed_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        placements=tuple(sorted(one["metadata"]["name"] for one in placements)),
    )
    labels = {LABEL_HUB: hub.hub_id, LABEL_MANAGED_BY: MANAGER}
    await hub.session.api.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": DEBTS, "namespace": hub.namespace, "labels": labels},
            "data": {**await _texts(hub), cluster.metadata.name: _text(debt)},
        }
    )


async def settle(
    hub: Hub, member: Session | None, name: str, uid: str | None, tell: Tell, *, allow_many: bool
) -> None:
    """End what a returned cluster still has and nobody wants there, and strike it off.

    Args:
        hub: The hub.
        member: The cluster; None: it cannot be reached from here.
        name: The ModelCluster that it is now.
        uid: Of the cluster; None: that is not known.
        tell: Told of each step.
        allow_many: Many may end at once.

    Raises:
        ApiError: One of the two could not be read or written; what is left is kept in mind.
    """
    for debtor, debt in _debts(await _texts(hub)).items():
        known = debt.cluster_uid is not None and uid is not None
        if (debt.cluster_uid != uid) if known else (debtor != name):
            continue
        if member is None:
            tell(
                f"{debtor} was removed at {debt.removed_at} with {len(debt.placements)} models; "
                "join it again with --kubeconfig FILE or --context NAME once it can be reached, "
                "which ends those that nobody wants there"
            )
            continue
        owed = [await _look(hub, member, name, placement) for placement in debt.placements]
        left = await _end(hub, member, owed, tell, allow_many=allow_many)
        await _strike(hub, debtor, debt, left, tell)


async def _look(hub: Hub, member: Session, cluster: str, name: str) -> _Owed:
    """Return what is to become of a model: first what the cluster has, then what the hub wants."""
    from smallmodel_operator.clusters.guard import owner_of
    from smallmodel_operator.clusters.ref import MODELPLACEMENTS, SMALLMODELS

    mirror = await member.api.get(MODELPLACEMENTS.ref(name, hub.namespace))
    if mirror is None or owner_of(mirror) != hub.hub_id:
        return _Owed(name=name, model=name, fate=Fate.GONE)
    wanted = mirror["spec"]["model"]
    model = f"{wanted['namespace']}/{wanted['name']}"
    api = hub.session.api
    here = await api.get(MODELPLACEMENTS.ref(name, placement_namespace(cluster)))
    if here is not None and not here["metadata"].get("deletionTimestamp"):
        return _Owed(name=name, model=model, fate=Fate.WANTED)
    wish = await api.get(SMALLMODELS.ref(wanted["name"], wanted["namespace"]))
    if here is not None or (wish is not None and not await _is_elsewhere(hub, cluster, name)):
        # What is being deleted on the hub ends there by itself.
        return _Owed(name=name, model=model, fate=Fate.WAITS)
    return _Owed(name=name, model=model, fate=Fate.ENDS)


async def _is_elsewhere(hub: Hub, cluster: str, name: str) -> bool:
    from smallmodel_operator.clusters.ref import MODELPLACEMENTS

    found, _ = await hub.session.api.list(MODELPLACEMENTS, fields=f"metadata.name={name}")
    own = placement_namespace(cluster)
    return any(
        one["metadata"]["name"] == name and one["metadata"]["namespace"] != own for one in found
    )


async def _end(
    hub: Hub, member: Session, owed: Sequence[_Owed], tell: Tell, *, allow_many: bool
) -> tuple[str, ...]:
    """Delete the mirrors that nobody wants, and return the names that are still owed."""
    from smallmodel_operator.clusters.guard import delete_owned
    from smallmodel_operator.clusters.ref import MODELPLACEMENTS

    ends = [one for one in owed if one.fate is Fate.ENDS]
    waits = [one for one in owed if one.fate is Fate.WAITS]
    there = sum(one.fate is not Fate.GONE for one in owed)
    if len(ends) > drops_max(there) and not allow_many:
        named = ", ".join(one.model for one in ends[:5])
        tell(
            f"{len(ends)} of {there} models from before it was removed are not wanted there any "
            f"more ({named}{', …' if len(ends) > 5 else ''}). So many do not end without a word: "
            "join again with --allow-deletions"
        )
        waits += ends
        ends = []
    for one in ends:
        await delete_owned(member.api, MODELPLACEMENTS.ref(one.name, hub.namespace), hub.hub_id)
        tell(f"{one.model} from before it was removed is not wanted there any more, and ends")
    return tuple(sorted(one.name for one in waits))


async def _strike(hub: Hub, debtor: str, debt: Debt, left: tuple[str, ...], tell: Tell) -> None:
    from smallmodel_operator.clusters.ref import CONFIGMAPS

    text = _text(debt.model_copy(update={"placements": left})) if left else None
    ref = CONFIGMAPS.ref(DEBTS, hub.namespace)
    await hub.session.api.merge_patch(ref, {"data": {debtor: text}})
    if left:
        tell(
            f"{len(left)} models from before it was removed go on there, since it is not decided "
            "where they are to be; join again once it is"
        )
    else:
        tell(f"nothing is owed by {debtor} any more")


def _debts(texts: dict[str, str]) -> dict[str, Debt]:
    debts = dict[str, Debt]()
    for name, text in texts.items():
        try:
            debts[name] = Debt.model_validate(json.loads(text), extra="ignore")
        except (ValidationError, json.JSONDecodeError):
            # Somebody wrote it by hand: it is left for them to read.
            continue
    return debts


def _text(debt: Debt) -> str:
    return json.dumps(debt.model_dump(mode="json", by_alias=True), sort_keys=True)


async def _texts(hub: Hub) -> dict[str, str]:
    from smallmodel_operator.clusters.ref import CONFIGMAPS

    found = await hub.session.api.get(CONFIGMAPS.ref(DEBTS, hub.namespace)) or {}
    return dict(found.get("data") or {})
