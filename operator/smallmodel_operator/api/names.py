"""Names: the group, labels, limits, and how a name is derived from another."""

import hashlib
from typing import Final, Literal

GROUP: Final = "smallmodel.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final[Literal["smallmodel.dev/v1alpha1"]] = "smallmodel.dev/v1alpha1"

# A RayService's name may have 47 characters, and `-` with a hash of five is appended to ours.
SMALLMODEL_NAME_MAX: Final = 40
INDEX_APPLICATION: Final = "_index"
"""Serve's always healthy application; no SmallModel can have this name (`patterns.NAME`)."""


def short_hash(text: str, length: int = 8) -> str:
    """Return the first `length` hexadecimal digits of the text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


HUB_ACCOUNT: Final = "smallmodel-hub"
"""The ServiceAccount as which a hub works on another cluster, and the names of its roles."""

MANAGER: Final = "smallmodel-operator"
"""Field manager of every write, and the value of `LABEL_MANAGED_BY` on whatever is ours."""

LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_HUB: Final = "smallmodel.dev/hub"
"""The id of the installation that owns an object: with another value it is never touched."""
LABEL_MODEL: Final = "smallmodel.dev/model"
LABEL_JOB: Final = "batch.kubernetes.io/job-name"
"""Which Kubernetes gives the pods of a Job."""
LABEL_POOL: Final = "smallmodel.dev/pool"
LABEL_CLUSTER: Final = "smallmodel.dev/cluster"
"""On a mirror: the ModelCluster that it is in."""
LABEL_ACCEPT_FROM: Final = "smallmodel.dev/accept-from"
"""On a namespace of another cluster: the id of the hub whose models it takes."""
LABEL_WORKER_CLASS: Final = "smallmodel.dev/worker-class"

ANNOTATION_RE_RESOLVE: Final = "smallmodel.dev/re-resolve"
"""On a SmallModel: a new value has it resolved again from today's cards."""
ANNOTATION_DECIDED_AT: Final = "smallmodel.dev/decided-at"
"""On a ModelPlacement among several clusters: when what it says was decided, as RFC 3339."""
ANNOTATION_STANDS_IN_FOR: Final = "smallmodel.dev/stands-in-for"
"""On a ModelPlacement: the cluster of the copy that could not be reached when it was made."""
ANNOTATION_LEAVING_SINCE: Final = "smallmodel.dev/leaving-since"
"""On a ModelPlacement in whose place another one answers: since when gateways turn from it, as RFC
3339."""
ANNOTATION_DROPS_UNTIL: Final = "smallmodel.dev/drops-until"
"""On a ModelCluster: until when many copies may be taken down there, as RFC 3339."""
ANNOTATION_ORIGIN: Final = "smallmodel.dev/origin"
"""On a mirror: the UID of the hub's object when it was written."""
ANNOTATION_CONTRACT: Final = "smallmodel.dev/contract"
"""On a pool: the contract in which its models' arguments are rendered."""
ANNOTATION_COMPACT: Final = "smallmodel.dev/compact"
"""On a pool: when somebody asked, as RFC 3339, for its models to move into fuller pools. The
operator removes it where that cannot be done."""

ANNOTATION_JURISDICTION: Final = "smallmodel.dev/jurisdiction"
"""On the operator's namespace in a cluster that a hub works on: the country whose law holds there,
written by that cluster's administrator and never by the hub."""

AGENT_LEASE: Final = "smallmodel-agent"
"""In a cluster's namespace on the hub: what its agent renews there, and so tells that it lives."""
ANNOTATION_CLUSTER_UID: Final = "smallmodel.dev/cluster-uid"
"""On that Lease: the UID of the namespace kube-system of the cluster in which the agent runs."""
ANNOTATION_GATEWAY_REQUEST: Final = "smallmodel.dev/gateway-request"
"""On that Lease, while the cluster's gateway needs another certificate: a request for one, as PEM.
Its key stays in the cluster."""

BUNDLE_MEMBER: Final = "smallmodel-bundle"
"""In the operator's namespace of a cluster of mode Bundle: the Secret with the keys of its files,
and the ConfigMap that says which file was taken last."""

FINALIZER: Final = "smallmodel.dev/placement"

LOCAL_CLUSTER: Final = "local"
"""The ModelCluster of the operator's own cluster."""
_PLACEMENTS: Final = "slm-cluster-"
CLUSTER_NAME_MAX: Final = 63 - len(_PLACEMENTS)
"""A ModelCluster's placements have a namespace of their own, named after it."""

RAYSERVICE_NAME_MAX: Final = 47
"""KubeRay's limit; it appends names of its own to it."""


_GATEWAYS: Final = "gateway.smallmodel.dev"


def gateway_identity(cluster: str, hub_id: str) -> str:
    """Return the name in the certificate of a cluster's gateway. No name server knows it."""
    return f"{cluster}.{hub_id}.{_GATEWAYS}"


def bounded(name: str, length: int) -> str:
    """Return the name, or its head and a hash where it has more than `length` characters."""
    if len(name) <= length:
        return name
    digest = short_hash(name)
    return f"{name[: length - len(digest) - 1].rstrip('-.')}-{digest}"


def placement_namespace(cluster: str) -> str:
    """Return the hub's namespace for the ModelPlacements of a cluster."""
    return f"{_PLACEMENTS}{cluster}"


def cluster_of_namespace(namespace: str) -> str | None:
    """Return whose ModelPlacements lie in a namespace of the hub; None: those of no cluster."""
    return namespace.removeprefix(_PLACEMENTS) if namespace.startswith(_PLACEMENTS) else None


def placement_name(namespace: str, name: str) -> str:
    """Return the name of a SmallModel's ModelPlacement, the same on every cluster.

    The hash tells `a-b`/`c` from `a`/`b-c`.
    """
    digest = short_hash(f"{namespace}/{name}")
    return f"{bounded(f'{namespace}-{name}', 63 - len(digest) - 1)}-{digest}"
