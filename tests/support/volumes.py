"""Claims that a real control plane binds to volumes which nobody ever mounts."""

from typing import Any

from bench.children import until
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import CLAIMS, STORAGE_CLASSES, VOLUMES

_WITHIN = 30.0


class Volumes:
    """What a test made in a cluster, for a claim of the name `records`.

    Args:
        admin: Of the cluster.
        namespace: The claim's; the names of volume and class are made from it.
    """

    def __init__(self, admin: Api, namespace: str) -> None:
        self.admin = admin
        self.namespace = namespace
        self.claim = CLAIMS.ref("records", namespace)
        self.volume = VOLUMES.ref(f"{namespace}-records")
        self.storage_class = STORAGE_CLASSES.ref(f"{namespace}-class")

    async def ask(self) -> None:
        """Have a claim that waits for a volume."""
        await self._create(
            CLAIMS.kind,
            {"name": "records", "namespace": self.namespace},
            spec=self._asked() | {"resources": {"requests": {"storage": "1Gi"}}},
        )

    async def offer(self, **labels: str) -> None:
        """Have its volume, which is reached from nodes with these labels; none: from all."""
        expressions = [
            {"key": key, "operator": "In", "values": [value]} for key, value in labels.items()
        ]
        affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": expressions}]}}
        owner = {"namespace": self.namespace, "name": "records"}
        await self._create(
            VOLUMES.kind,
            {"name": self.volume.name},
            spec=self._asked()
            | {"capacity": {"storage": "20Gi"}, "claimRef": owner}
            | {"hostPath": {"path": "/nowhere"}, "persistentVolumeReclaimPolicy": "Retain"}
            | ({"nodeAffinity": affinity} if expressions else {}),
        )

    async def classify(self, **labels: str) -> None:
        """Have the class of the claim, which makes volumes on nodes with these labels."""
        expressions = [{"key": key, "values": [value]} for key, value in labels.items()]
        await self.admin.create(
            {
                "apiVersion": STORAGE_CLASSES.api_version,
                "kind": STORAGE_CLASSES.kind,
                "metadata": {"name": self.storage_class.name},
                "provisioner": "example.com/by-hand",
            }
            | ({"allowedTopologies": [{"matchLabelExpressions": expressions}]} if labels else {})
        )

    async def bound(self) -> None:
        """Return once the claim has its volume."""

        async def is_bound() -> bool:
            claim = await self.admin.get(self.claim) or {}
            return bool((claim.get("status") or {}).get("phase") == "Bound")

        await until(is_bound, "the claim is bound", _WITHIN, 0.1)

    async def remove(self) -> None:
        """Take away what has no namespace."""
        for ref in (self.volume, self.storage_class):
            await self.admin.delete(ref)

    def _asked(self) -> dict[str, Any]:
        return {"accessModes": ["ReadWriteOnce"], "storageClassName": self.storage_class.name}

    async def _create(self, kind: str, metadata: dict[str, str], *, spec: dict[str, Any]) -> None:
        await self.admin.create(
            {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}
        )
