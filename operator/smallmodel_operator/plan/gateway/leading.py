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
class Copy:
    """A copy of a model that answered a request."""

    cluster: str
    leaving: bool = False
    """It goes, since others answer in its place."""
    jurisdictions: tuple[str, ...] | None = None
    """Where the model's data may be read; None: no law binds it."""


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
        cluster.metadata.name: neighbour(
            cluster.metadata.name,
            cluster.spec.gateway.address if cluster.spec.gateway else None,
            cluster.spec.jurisdiction,
            hub_id,
        )
        for cluster in clusters
        if cluster.metadata.name != own
    }


def neighbour(name: str, address: str | None, jurisdiction: str | None, hub_id: str) -> Neighbour:
    """Return another cluster, whose gateway is at an address or cannot be asked."""
    peer = None
    if address is not None:
        identity = gateway_identity(name, hub_id)
        peer = Peer(cluster=name, address=endpoint_of(address), identity=identity)
    return Neighbour(peer=peer, jurisdiction=jurisdiction)


def endpoint_of(address: str) -> Endpoint:
    """Return the host and the port of a gateway's address, which `GATEWAY_ADDRESS` describes."""
    host, _, port = address.removeprefix("https://").rpartition(":")
    return Endpoint(address=host.strip("[]"), port=int(port))


def led_away(
    copies: Iterable[Copy], there: Mapping[str, Neighbour], *, leaves: bool = False
) -> Away:
    """Return where else a model answers, as far as the law of its data lets requests go there.

    Args:
        copies: Those that answered.
        there: The other clusters; copies elsewhere do not count.
        leaves: Whether the copy of the cluster that is asked is to go.
    """
    lawful = [
        (copy, there[copy.cluster])
        for copy in copies
        if copy.cluster in there and _is_lawful(copy, there[copy.cluster])
    ]
    # What is about to go is asked where nothing else is.
    staying = [found for found in lawful if not found[0].leaving] or lawful
    peers = sorted(to.peer for _, to in staying if to.peer is not None)
    unreachable = sorted(copy.cluster for copy, to in staying if to.peer is None)
    return Away(peers=tuple(peers), unreachable=tuple(unreachable), leaves=leaves)


def answering(placement: ModelPlacement) -> Copy | None:
    """Return a copy that answered a request; None: what only runs might answer nobody."""
    if serving_pool(placement) is None or placement.status.verified_hash is None:
        return None
    residency = placement.spec.residency
    return Copy(
        cluster=placement.spec.cluster,
        leaving=is_leaving(placement),
        jurisdictions=residency.jurisdictions if residency is not None else None,
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


def is_leaving(placement: ModelPlacement | None) -> bool:
    """Return whether the hub has decided that a copy goes, since others answer in its place."""
    if placement is None:
        return False
    metadata = placement.metadata
    return bool(metadata.deletion_timestamp) or ANNOTATION_LEAVING_SINCE in metadata.annotations


def _is_lawful(copy: Copy, there: Neighbour) -> bool:
    return copy.jurisdictions is None or there.jurisdiction in copy.jurisdictions
