"""The hub and its ModelClusters, read for `slm cluster`."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from smallmodel_operator.api.meta import Condition
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.names import (
    LABEL_HUB,
    LABEL_MANAGED_BY,
    LOCAL_CLUSTER,
    MANAGER,
    placement_namespace,
)
from smallmodel_operator.cli.cluster.observed import find_operators, read_hub
from smallmodel_operator.cli.cluster.session import CHART, Session
from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.plan.pools.values import Manifest

DRAIN_KEY: Final = "smallmodel.dev/drain"
"""The taint of a cluster that is being emptied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """A cluster with the operator.

    Attributes:
        session: The connection.
        namespace: The operator's.
        hub_id: Names the installation.
    """

    session: Session
    namespace: str
    hub_id: str

    def secret(self, name: str, data: Mapping[str, bytes]) -> Manifest:
        """Return a Secret of this installation, in a namespace of the operator's name."""
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": {LABEL_HUB: self.hub_id, LABEL_MANAGED_BY: MANAGER},
            },
            "type": "Opaque",
            "data": {key: base64.b64encode(content).decode() for key, content in data.items()},
        }


async def find_hub(session: Session) -> Hub:
    """Return the installation that is there.

    Raises:
        ApiError: It could not be looked for.
        CommandError: There is none.
    """
    operators = await find_operators(session)
    if not operators:
        raise CommandError(
            f"this cluster has no operator, so it is no hub; install one by `{CHART}`, or name "
            "the hub's kubeconfig",
            ExitCode.NOT_FOUND,
        )
    return Hub(
        session=session,
        namespace=operators[0].namespace,
        hub_id=await read_hub(session),
    )


async def all_clusters(session: Session) -> tuple[ModelCluster, ...]:
    """Return all ModelClusters by name.

    Raises:
        ApiError: They could not be read.
        CommandError: One is of another version.
    """
    from smallmodel_operator.clusters.ref import MODELCLUSTERS

    found, _ = await session.api.list(MODELCLUSTERS)
    return tuple(sorted(map(_read, found), key=lambda one: one.metadata.name))


async def one_cluster(session: Session, name: str) -> ModelCluster:
    """Return a ModelCluster.

    Raises:
        ApiError: It could not be read.
        CommandError: There is none of that name, or it is of another version.
    """
    from smallmodel_operator.clusters.ref import MODELCLUSTERS

    found = await session.api.get(MODELCLUSTERS.ref(name))
    if found is None:
        names = ", ".join(one.metadata.name for one in await all_clusters(session)) or "none"
        raise CommandError(
            f"there is no ModelCluster {name!r}; there are: {names}", ExitCode.NOT_FOUND
        )
    return _read(found)


async def placements_on(session: Session, name: str) -> list[Manifest]:
    """Return the ModelPlacements of a cluster, as the hub has them.

    Raises:
        ApiError: They could not be read.
    """
    from smallmodel_operator.clusters.ref import MODELPLACEMENTS

    return (await session.api.list(MODELPLACEMENTS, placement_namespace(name)))[0]


async def check_is_another(hub: Hub, name: str, uid: str) -> None:
    """Return where a cluster is neither the hub's own nor another ModelCluster's.

    Args:
        hub: The hub.
        name: The ModelCluster that it is to be.
        uid: The cluster's.

    Raises:
        ApiError: The hub could not be read.
        CommandError: It is.
    """
    from smallmodel_operator.clusters.identity import cluster_uid

    if name == LOCAL_CLUSTER or uid == await cluster_uid(hub.session.api):
        raise CommandError(
            f"{LOCAL_CLUSTER} is the hub's own cluster, which needs no joining; give another "
            "cluster's kubeconfig by --kubeconfig or --context, and another name",
            ExitCode.USAGE,
        )
    for other in await all_clusters(hub.session):
        link = other.status.link
        known = {other.spec.connection.cluster_uid, link.cluster_uid if link else None}
        if uid in known and other.metadata.name != name:
            raise CommandError(
                f"this cluster (UID {uid}) is ModelCluster {other.metadata.name} already, and one "
                f"cluster is one ModelCluster; join it as {other.metadata.name}, or remove that "
                f"one first: `slm cluster remove {other.metadata.name}`",
                ExitCode.USAGE,
            )


def condition(cluster: ModelCluster, kind: str) -> Condition | None:
    """Return a condition of a ModelCluster; None: nobody said anything of it."""
    return next((one for one in cluster.status.conditions if one.type == kind), None)


def _read(manifest: Manifest) -> ModelCluster:
    try:
        return ModelCluster.model_validate(manifest)
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise CommandError(
            f"ModelCluster {manifest['metadata']['name']} has {field}, which this version of slm "
            "does not know; take the slm of the operator's version"
        ) from error
