"""Where the gateway of one cluster leads requests for a model.

To the pool here, if the copy here is served; else to the gateways of other clusters with a copy
that answered; else nowhere, with the reason.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import gateway_identity
from smallmodel_operator.plan.gateway.cluster_values import Peer
from smallmodel_operator.plan.gateway.values import Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Another cluster whose gateway can be asked."""

    peer: Peer
    jurisdiction: str | None


def neighbours(clusters: Iterable[ModelCluster], own: str, hub_id: str) -> dict[str, Neighbour]:
    """Return the clusters whose gateways the one of cluster `own` can ask, by name."""
    return {
        cluster.metadata.name: Neighbour(
            peer=Peer(
                cluster=cluster.metadata.name,
                address=endpoint_of(cluster.spec.gateway.address),
                identity=gateway_identity(cluster.metadata.name, hub_id),
            ),
            jurisdiction=cluster.spec.jurisdiction,
        )
        for cluster in clusters
        if cluster.metadata.name != own and cluster.spec.gateway is not None
    }


def endpoint_of(address: str) -> Endpoint:
    """Return the host and the port of a gateway's address, which `GATEWAY_ADDRESS` describes."""
    host, _, port = address.removeprefix("https://").rpartition(":")
    return Endpoint(address=host.strip("[]"), port=int(port))


def elsewhere(
    placements: Iterable[ModelPlacement], there: Mapping[str, Neighbour]
) -> tuple[Peer, ...]:
    """Return the gateways of other clusters where a model answers, sorted by their clusters.

    Args:
        placements: The model's.
        there: The clusters whose gateways can be asked.
    """
    return tuple(
        sorted(
            neighbour.peer
            for placement in placements
            if (neighbour := there.get(placement.spec.cluster)) is not None
            and _answers(placement)
            and _is_lawful(placement, neighbour)
        )
    )


def serving_pool(placement: ModelPlacement | None) -> str | None:
    """Return the pool whose Serve has the model's application, starting ones included.

    A model that Serve has is Serve's to answer for: it holds requests while a replica comes up. For
    a model that never answered it has to say that it runs: a moment after it took the application,
    the HAProxies of its pods still answer 404 for it.
    """
    if placement is None or placement.metadata.deletion_timestamp:
        return None
    status = placement.status
    if status.deployment is None:
        return None
    runs = status.deployment.healthy or status.verified_hash is not None
    return status.pool if runs else None


def leaving_pool(placement: ModelPlacement | None) -> str | None:
    """Return the pool of a copy that is being taken down, while its Serve may still have it."""
    if placement is None or not placement.metadata.deletion_timestamp:
        return None
    return placement.status.pool if placement.status.deployment is not None else None


def _answers(placement: ModelPlacement) -> bool:
    """Return whether a copy answered a request: what only runs might answer nobody."""
    return serving_pool(placement) is not None and placement.status.verified_hash is not None


def _is_lawful(placement: ModelPlacement, neighbour: Neighbour) -> bool:
    residency = placement.spec.residency
    return residency is None or neighbour.jurisdiction in residency.jurisdictions
