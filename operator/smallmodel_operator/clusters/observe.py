"""What a cluster has: nodes, what is asked of them, and the versions of what runs there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from smallmodel_operator.api.names import LABEL_HUB, LABEL_POOL
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.nodes import NodeFacts, node_of
from smallmodel_operator.clusters.ref import CRDS, DEPLOYMENTS, NODES, PODS, RAYSERVICES, Manifest
from smallmodel_operator.clusters.requested import Amounts, add, requested_by

KUBERAY_LABELS: Final = "app.kubernetes.io/name in (kuberay, kuberay-operator)"
"""As KubeRay's kustomization and its Helm chart label their Deployments."""
_VERSION_LABEL: Final = "app.kubernetes.io/version"
_CRD_NAME: Final = RAYSERVICES.full_name
# Pods that take nothing of a node: waiting for one, or ended.
_ON_NODES: Final = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"
_TAG: Final = re.compile(r":v?(\d+\.\d+\.\d+[\w.+-]*)(?:@|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeRayFacts:
    """What is known of KubeRay."""

    served: bool
    """The API server serves RayServices of `ray.io/v1`."""
    version: str | None = None
    """By its Deployment's image or label; unset where that cannot be read or has no version."""
    token_auth: bool | None = None
    """Its CRD has `authOptions`; unset where the CRD cannot be read."""
    embedded_store: bool | None = None
    """Its CRD lets the head keep its state without Redis; unset where it cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts:
    """What a cluster has."""

    kubernetes_version: str
    """Without the leading `v`."""
    kuberay: KubeRayFacts
    nodes: tuple[NodeFacts, ...]
    """By name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fields:
    version: str
    token_auth: bool
    embedded_store: bool


class ClusterObserver:
    """Observes one cluster again and again.

    Args:
        api: The cluster's API.
        hub_id: Of this installation, whose pools' pods are not counted as others' requests.
    """

    def __init__(self, api: Api, hub_id: str) -> None:
        self._api = api
        self._hub_id = hub_id
        self._fields: _Fields | None = None

    async def observe(self) -> ClusterFacts:
        """Return what the cluster has now.

        Raises:
            ApiError: Nodes, pods or the version could not be read.
        """
        version = (await self._api.raw("/version")).json()
        requested = await self._requested()
        nodes, _ = await self._api.list(NODES)
        facts = (node_of(node, requested.get(node["metadata"]["name"], {})) for node in nodes)
        return ClusterFacts(
            kubernetes_version=str(version.get("gitVersion", "")).removeprefix("v"),
            kuberay=await self.observe_kuberay(),
            nodes=tuple(sorted(facts, key=lambda node: node.name)),
        )

    async def _requested(self) -> dict[str, Amounts]:
        """Return what pods ask of each node, those of our pools left out."""
        totals: dict[str, Amounts] = {}
        async for page in self._api.pages(PODS, fields=_ON_NODES):
            for pod in page.items:
                if not self._is_of_our_pool(pod):
                    name = pod["spec"]["nodeName"]
                    totals[name] = add(totals.get(name, {}), requested_by(pod["spec"]))
        return totals

    def _is_of_our_pool(self, pod: Manifest) -> bool:
        labels = pod["metadata"].get("labels") or {}
        return LABEL_POOL in labels and labels.get(LABEL_HUB) == self._hub_id

    async def observe_kuberay(self) -> KubeRayFacts:
        """Return what is known of KubeRay now.

        Raises:
            ApiError: It could not be read whether it is there.
        """
        if not await self._is_served():
            return KubeRayFacts(served=False, version=await self._kuberay_version())
        fields = await self._read_fields()
        return KubeRayFacts(
            served=True,
            version=await self._kuberay_version(),
            token_auth=None if fields is None else fields.token_auth,
            embedded_store=None if fields is None else fields.embedded_store,
        )

    async def _is_served(self) -> bool:
        path = f"/apis/{RAYSERVICES.api_version}"
        try:
            told = (await self._api.raw(path)).json()
        except errors.ApiMissing:
            return False
        return RAYSERVICES.plural in {one["name"] for one in told.get("resources") or ()}

    async def _kuberay_version(self) -> str | None:
        try:
            deployments, _ = await self._api.list(DEPLOYMENTS, labels=KUBERAY_LABELS)
        except errors.Forbidden:
            return None
        versions = sorted(filter(None, map(_version_of, deployments)))
        return versions[-1] if versions else None

    async def _read_fields(self) -> _Fields | None:
        """Return what the CRD offers, read anew only when it changed: it is a megabyte long."""
        ref = CRDS.ref(_CRD_NAME)
        try:
            known = await self._api.get_metadata(ref)
            version = _version_in(known or {})
            if self._fields is None or self._fields.version != version:
                crd = await self._api.get(ref)
                self._fields = _fields_of(crd) if crd else None
        except errors.Forbidden:
            return None
        return self._fields


def _version_in(crd: Mapping[str, Any]) -> str:
    metadata = crd.get("metadata") or {}
    return f"{metadata.get('uid')}/{metadata.get('generation')}"


def _fields_of(crd: Mapping[str, Any]) -> _Fields:
    served = [one for one in crd["spec"]["versions"] if one["name"] == RAYSERVICES.version]
    schema = served[0]["schema"]["openAPIV3Schema"]
    cluster = _properties(schema, "spec", "rayClusterConfig")
    return _Fields(
        version=_version_in(crd),
        token_auth="authOptions" in cluster,
        embedded_store="backend"
        in _properties({"properties": cluster}, "gcsFaultToleranceOptions"),
    )


def _properties(schema: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    for name in path:
        schema = schema.get("properties", {}).get(name, {})
    properties: Mapping[str, Any] = schema.get("properties", {})
    return properties


def _version_of(deployment: Mapping[str, Any]) -> str | None:
    containers = deployment["spec"]["template"]["spec"]["containers"]
    labels = deployment["metadata"].get("labels") or {}
    images = (container.get("image", "") for container in containers)
    found = map(_TAG.search, (*images, f":{labels.get(_VERSION_LABEL, '')}"))
    return next((match.group(1) for match in found if match), None)
