"""A canary: one real read and one real write in a cluster that the hub works on.

An API server that answers `/healthz` may still refuse every call of ours; what was done here can be
done there.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.modelcluster import LinkState
from smallmodel_operator.api.names import (
    ANNOTATION_JURISDICTION,
    LABEL_HUB,
    LABEL_MANAGED_BY,
    MANAGER,
)
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.clock import Clock, micro_time
from smallmodel_operator.clusters.identity import cluster_uid
from smallmodel_operator.clusters.ref import LEASES, NAMESPACES
from smallmodel_operator.clusters.wire import Limits
from smallmodel_operator.status.link import Canary, Failure

CANARY_SECONDS: Final = 5.0
"""All of it; a cluster that takes longer did not answer."""
LIMITS: Final = Limits(connect=2.0, total=CANARY_SECONDS)

Objection = Callable[[str], Failure | None]
"""What speaks against the cluster with that UID, before anything is written there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubName:
    """What the hub is called in the clusters that it works on."""

    hub_id: str
    namespace: str
    """The operator's, there as here."""
    identity: str
    """Of the process."""

    @property
    def lease(self) -> str:
        """The Lease that is written by each canary."""
        return f"smallmodel-hub-{self.hub_id}"


async def send_canary(api: Api, hub: HubName, clock: Clock, objection: Objection) -> Canary:
    """Read and write in a cluster, and tell what came of it."""
    began = clock.monotonic()
    try:
        async with asyncio.timeout(CANARY_SECONDS):
            uid = await cluster_uid(api)
            refused = objection(uid)
            jurisdiction = None
            if refused is None:
                jurisdiction = await _jurisdiction(api, hub)
                await _write(api, hub, clock)
    except TimeoutError:
        message = (
            f"The cluster did not answer within {CANARY_SECONDS:g} s; check its address, the line "
            "to it and the load of its API server"
        )
        return Canary(failure=Failure(LinkState.UNREACHABLE, Reason.UNREACHABLE, message))
    except errors.ApiError as error:
        return Canary(failure=failure_of(error))
    if refused is not None:
        return Canary(failure=refused)
    seconds = clock.monotonic() - began
    return Canary(seconds=seconds, cluster_uid=uid, jurisdiction=jurisdiction)


def failure_of(error: errors.ApiError) -> Failure:
    """Return what an error of a canary means for the link."""
    text = str(error)
    match error:
        case errors.Unauthorized():
            return Failure(LinkState.CREDENTIAL_ERROR, Reason.UNAUTHORIZED, text)
        case errors.NamespaceMissing() | errors.ApiMissing() | errors.NamespaceEnding():
            return Failure(LinkState.CREDENTIAL_ERROR, Reason.NOT_PREPARED, text)
        case errors.Forbidden() | errors.Invalid():
            return Failure(LinkState.CREDENTIAL_ERROR, Reason.FORBIDDEN, text)
        case _:
            return Failure(LinkState.UNREACHABLE, Reason.UNREACHABLE, text)


async def _jurisdiction(api: Api, hub: HubName) -> str | None:
    namespace = await api.get(NAMESPACES.ref(hub.namespace)) or {}
    annotations = (namespace.get("metadata") or {}).get("annotations") or {}
    found: str | None = annotations.get(ANNOTATION_JURISDICTION)
    return found


async def _write(api: Api, hub: HubName, clock: Clock) -> None:
    ref = LEASES.ref(hub.lease, hub.namespace)
    await api.get(ref)
    await api.apply(
        {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {
                "name": ref.name,
                "namespace": ref.namespace,
                "labels": {LABEL_HUB: hub.hub_id, LABEL_MANAGED_BY: MANAGER},
            },
            "spec": {"holderIdentity": hub.identity, "renewTime": micro_time(clock.now())},
        }
    )
