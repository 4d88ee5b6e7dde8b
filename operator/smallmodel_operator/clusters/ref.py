"""Resources of an API server, its objects as they are read, and references to single ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from smallmodel_operator.api.names import GROUP, VERSION

Manifest = dict[str, Any]
"""One Kubernetes object, as the API server reads and writes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A kind of object, and where the API server serves it."""

    group: str = ""
    """Empty for the core group."""
    version: str = "v1"
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """The value of `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def full_name(self) -> str:
        """As `kubectl` and messages have it: `rayservices.ray.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None = None) -> str:
        """Return the path of all objects, or of those of a namespace."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        inside = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        return f"{root}{inside}/{self.plural}"

    def ref(self, name: str, namespace: str | None = None) -> "Ref":
        """Return the reference to one object."""
        return Ref(resource=self, namespace=namespace, name=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """One object by its name.

    Raises:
        ValueError: The namespace of a namespaced kind is missing, or another kind has one.
    """

    resource: Resource
    namespace: str | None = None
    name: str

    def __post_init__(self) -> None:
        if self.resource.namespaced != bool(self.namespace):
            rule = "needs a namespace" if self.resource.namespaced else "has no namespace"
            raise ValueError(
                f"{self.resource.kind} {self.name} {rule}, and {self.namespace!r} was given"
            )

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.resource.kind} {where}"

    @property
    def path(self) -> str:
        """The path of the object."""
        return f"{self.resource.path(self.namespace)}/{quote(self.name, safe='')}"


def _ours(plural: str, kind: str, *, namespaced: bool = True) -> Resource:
    return Resource(group=GROUP, version=VERSION, plural=plural, kind=kind, namespaced=namespaced)


SMALLMODELS: Final = _ours("smallmodels", "SmallModel")
MODELCARDS: Final = _ours("modelcards", "ModelCard", namespaced=False)
MODELCLUSTERS: Final = _ours("modelclusters", "ModelCluster", namespaced=False)
DATASOURCES: Final = _ours("datasources", "DataSource")
MODELPLACEMENTS: Final = _ours("modelplacements", "ModelPlacement")

RAYSERVICES: Final = Resource(group="ray.io", plural="rayservices", kind="RayService")
RAYCLUSTERS: Final = Resource(group="ray.io", plural="rayclusters", kind="RayCluster")

NAMESPACES: Final = Resource(plural="namespaces", kind="Namespace", namespaced=False)
NODES: Final = Resource(plural="nodes", kind="Node", namespaced=False)
PODS: Final = Resource(plural="pods", kind="Pod")
SERVICES: Final = Resource(plural="services", kind="Service")
SECRETS: Final = Resource(plural="secrets", kind="Secret")
CONFIGMAPS: Final = Resource(plural="configmaps", kind="ConfigMap")
SERVICEACCOUNTS: Final = Resource(plural="serviceaccounts", kind="ServiceAccount")
CLAIMS: Final = Resource(plural="persistentvolumeclaims", kind="PersistentVolumeClaim")
VOLUMES: Final = Resource(plural="persistentvolumes", kind="PersistentVolume", namespaced=False)
DEPLOYMENTS: Final = Resource(group="apps", plural="deployments", kind="Deployment")
JOBS: Final = Resource(group="batch", plural="jobs", kind="Job")
NETWORKPOLICIES: Final = Resource(
    group="networking.k8s.io", plural="networkpolicies", kind="NetworkPolicy"
)
DISRUPTIONBUDGETS: Final = Resource(
    group="policy", plural="poddisruptionbudgets", kind="PodDisruptionBudget"
)
HTTPROUTES: Final = Resource(
    group="gateway.networking.k8s.io", plural="httproutes", kind="HTTPRoute"
)
CLUSTERPROFILES: Final = Resource(
    group="multicluster.x-k8s.io",
    version="v1alpha1",
    plural="clusterprofiles",
    kind="ClusterProfile",
)
LEASES: Final = Resource(group="coordination.k8s.io", plural="leases", kind="Lease")
ROLES: Final = Resource(group="rbac.authorization.k8s.io", plural="roles", kind="Role")
ROLE_BINDINGS: Final = Resource(
    group="rbac.authorization.k8s.io", plural="rolebindings", kind="RoleBinding"
)
CLUSTER_ROLES: Final = Resource(
    group="rbac.authorization.k8s.io",
    plural="clusterroles",
    kind="ClusterRole",
    namespaced=False,
)
CLUSTER_ROLE_BINDINGS: Final = Resource(
    group="rbac.authorization.k8s.io",
    plural="clusterrolebindings",
    kind="ClusterRoleBinding",
    namespaced=False,
)
"""No role is the operator's to write: `slm cluster join` applies these four kinds."""
EVENTS: Final = Resource(group="events.k8s.io", plural="events", kind="Event")
CRDS: Final = Resource(
    group="apiextensions.k8s.io",
    plural="customresourcedefinitions",
    kind="CustomResourceDefinition",
    namespaced=False,
)
ACCESS_REVIEWS: Final = Resource(
    group="authorization.k8s.io",
    plural="selfsubjectaccessreviews",
    kind="SelfSubjectAccessReview",
    namespaced=False,
)
STORAGE_CLASSES: Final = Resource(
    group="storage.k8s.io", plural="storageclasses", kind="StorageClass", namespaced=False
)

RESOURCES: Final = (
    SMALLMODELS,
    MODELCARDS,
    MODELCLUSTERS,
    DATASOURCES,
    MODELPLACEMENTS,
    RAYSERVICES,
    RAYCLUSTERS,
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    SECRETS,
    CONFIGMAPS,
    SERVICEACCOUNTS,
    CLAIMS,
    VOLUMES,
    STORAGE_CLASSES,
    DEPLOYMENTS,
    JOBS,
    NETWORKPOLICIES,
    DISRUPTIONBUDGETS,
    HTTPROUTES,
    CLUSTERPROFILES,
    LEASES,
    ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    EVENTS,
    CRDS,
    ACCESS_REVIEWS,
)
_BY_KIND: Final = {(one.api_version, one.kind): one for one in RESOURCES}


def resource_of(manifest: Mapping[str, Any]) -> Resource:
    """Return the resource of a manifest.

    Raises:
        ValueError: The operator does not use objects of this kind.
    """
    key = (manifest.get("apiVersion", ""), manifest.get("kind", ""))
    if key not in _BY_KIND:
        raise ValueError(f"{key[1]!r} of {key[0]!r} is no kind that the operator uses")
    return _BY_KIND[key]


def ref_of(manifest: Mapping[str, Any]) -> Ref:
    """Return the reference to the object of a manifest.

    Raises:
        ValueError: The operator does not use objects of this kind, or there is no name.
    """
    metadata = manifest.get("metadata") or {}
    if not metadata.get("name"):
        raise ValueError(f"a {manifest.get('kind')} without metadata.name cannot be written")
    return resource_of(manifest).ref(metadata["name"], metadata.get("namespace"))


def without_managed_fields(manifest: Mapping[str, Any]) -> Manifest:
    """Return the manifest without who wrote which field, which is half of it."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "managedFields"}
    return {**manifest, "metadata": metadata}
