"""What the agent of a cluster needs on its hub: an account, and not a verb more than it uses."""

from typing import Final

from smallmodel_operator.api.names import (
    AGENT_LEASE,
    GROUP,
    LABEL_HUB,
    placement_namespace,
)
from smallmodel_operator.plan import members
from smallmodel_operator.plan.accounts import Account, Grant, made
from smallmodel_operator.plan.gateway.told import TOLD_NAME
from smallmodel_operator.plan.pools.values import Manifest

AGENT_ACCOUNT: Final = "smallmodel-agent"

OWN: Final = (
    Grant(
        why="What the hub decided for the cluster.",
        group=GROUP,
        resources=("modelplacements",),
        verbs=("get", "list", "watch"),
    ),
    Grant(
        why="What became of it.",
        group=GROUP,
        resources=("modelplacements/status",),
        verbs=("patch",),
    ),
    Grant(
        why="Heartbeats. A Lease that is not there cannot be made by name alone.",
        group="coordination.k8s.io",
        resources=("leases",),
        verbs=("create",),
    ),
    Grant(
        why="As above.",
        group="coordination.k8s.io",
        resources=("leases",),
        verbs=("patch",),
        names=(AGENT_LEASE,),
    ),
    Grant(
        why="Where models of other clusters answer, and the certificate of its own gateway, whose "
        "key is not in it.",
        resources=("configmaps",),
        verbs=("get",),
        names=(TOLD_NAME,),
    ),
)
"""In the cluster's own namespace on the hub."""


_BY_THE_HUB_ALONE: Final = frozenset({"pods/portforward", "persistentvolumes", "storageclasses"})
"""An agent reaches the pods of its cluster, and does not know which claims DataSources name."""

IN_CLUSTER: Final = tuple(
    grant for grant in members.EVERYWHERE if _BY_THE_HUB_ALONE.isdisjoint(grant.resources)
)
"""What the agent's account in its own cluster may do in the whole of it."""

IN_RELEASE: Final = (
    Grant(
        why="One replica acts at a time.",
        group="coordination.k8s.io",
        resources=("leases",),
        verbs=("get", "create", "patch"),
    ),
    Grant(
        why="The key from which tokens of pools are made lies in a Secret that belongs in the "
        "backup.",
        resources=("secrets",),
        verbs=("get", "create"),
    ),
    *(
        grant
        for grant in members.OWN
        # Leases are above.
        if "leases" not in grant.resources
    ),
    Grant(
        why="What the hub said last of models in other clusters, for when it is away.",
        resources=("configmaps",),
        verbs=("get", "patch"),
        names=(TOLD_NAME,),
    ),
)
"""And in the release's namespace."""


def everywhere(cluster: str) -> tuple[Grant, ...]:
    """Return what an agent may do besides: read its ModelCluster, and tell what it saw."""
    return (
        Grant(
            why="Whether the hub knows the cluster.",
            group=GROUP,
            resources=("modelclusters",),
            verbs=("get",),
            names=(cluster,),
        ),
        Grant(
            why="What the cluster has, and what of it is free.",
            group=GROUP,
            resources=("modelclusters/status",),
            verbs=("patch",),
            names=(cluster,),
        ),
    )


def agent_account(cluster: str) -> Account:
    """Return the account of a cluster's agent on the hub."""
    return Account(name=AGENT_ACCOUNT, namespace=placement_namespace(cluster))


def agent_role(cluster: str) -> str:
    """Return the name of what is granted to a cluster's agent outside of its namespace."""
    return f"{AGENT_ACCOUNT}:{cluster}"


def agent_manifests(cluster: str, hub_id: str) -> tuple[Manifest, ...]:
    """Return an agent's account on the hub, with its roles and its token.

    Args:
        cluster: The ModelCluster.
        hub_id: The id of the installation.
    """
    account = agent_account(cluster)
    return (
        made("v1", "Namespace", account.namespace, labels={LABEL_HUB: hub_id}),
        *account.identity(),
        # The hub may write it, and not make it.
        made("v1", "ConfigMap", TOLD_NAME, account.namespace, labels={LABEL_HUB: hub_id}),
        *account.roles(everywhere(cluster), OWN, cluster_role=agent_role(cluster)),
    )
