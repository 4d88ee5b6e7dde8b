"""Where the gateway of one cluster leads requests for a model.

To the pool here, if the copy here is served; else to the gateways of other clusters with a copy
that answered; else nowhere, with the reason.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import ANNOTATION_LEAVING_SINCE, gateway_identity
from smallmodel_operator.plan.gateway.cluster_values import Peer
from smallmodel_operator.plan.gateway.values import Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Another cluster, and how its gateway is asked."""

    peer: Peer | None
    """None: nobody said where its gateway is."""
    jurisdiction: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """Where a model answers but for the cluster that is asked."""

    peers: tuple[Peer, ...] = ()
    """The gateways of the clusters where it does, sorted by their names."""
    unreachable: tuple[str, ...] = ()
    """Clusters where it does and whose gateway cannot be asked."""
    leaves: bool = False
    """Whether the copy of the cluster that is asked is to go."""


NOWHERE_ELSE: Final = Away()


def neighbours(clusters: Iterable[ModelCluster], own: str, hub_id: str) -> dict[str, Neighbour]:
    """Return all clusters but `own`, by name."""
    return {
        cluster.metadata.name: Neighbour(
            peer=_peer(cluster, hub_id), jurisdiction=cluster.spec.jurisdiction
        )
        for cluster in clusters
        if cluster.metadata.name != own
    }


def _peer(cluster: ModelCluster, hub_id: str) -> Peer | None:
    if cluster.spec.gateway is None:
        return None
    name = cluster.metadata.name
    return Peer(
        cluster=name,
        address=endpoint_of(cluster.spec.gateway.address),
        identity=gateway_identity(name, hub_id),
    )


def endpoint_of(address: str) -> Endpoint:
    """Return the host and the port of a gateway's address, which `GATEWAY_ADDRESS` describes."""
    host, _, port = address.removeprefix("https://").rpartition(":")
    return Endpoint(address=host.strip("[]"), port=int(port))


def led_away(
    placements: Iterable[ModelPlacement], there: Mapping[str, Neighbour], *, leaves: bool = False
) -> Away:
    """Return where else a model answers, as far as the law of its data lets requests go there.

    Args:
        placements: Its copies on other clusters.
        there: These clusters.
        leaves: Whether the copy of the cluster that is asked is to go.
    """
    answering = [
        (placement, neighbour)
        for placement in placements
        if (neighbour := there.get(placement.spec.cluster)) is not None
        and _answers(placement)
        and _is_lawful(placement, neighbour)
    ]
    # What is about to go is asked where nothing else is.
    staying = [found for found in answering if not is_leaving(found[0])] or answering
    peers = sorted(neighbour.peer for _, neighbour in staying if neighbour.peer is not None)
    unreachable = sorted(placed.spec.cluster for placed, to in staying if to.peer is None)
    return Away(peers=tuple(peers), unreachable=tuple(unreachable), leaves=leaves)


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


def is_leaving(placement: ModelPlacement | None) -> bool:
    """Return whether the hub has decided that a copy goes, since others answer in its place."""
    if placement is None:
        return False
    metadata = placement.metadata
    return bool(metadata.deletion_timestamp) or ANNOTATION_LEAVING_SINCE in metadata.annotations


def _answers(placement: ModelPlacement) -> bool:
    """Return whether a copy answered a request: what only runs might answer nobody."""
    return serving_pool(placement) is not None and placement.status.verified_hash is not None


def _is_lawful(placement: ModelPlacement, neighbour: Neighbour) -> bool:
    residency = placement.spec.residency
    return residency is None or neighbour.jurisdiction in residency.jurisdictions
