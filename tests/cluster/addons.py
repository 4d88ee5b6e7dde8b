"""What runs in the cluster from its start: names, KubeRay, GPUs that are not there."""

import json
from pathlib import Path
from string import Template
from typing import Final

from cluster import golang, images
from cluster.access import KubeAccess
from cluster.addresses import ClusterAddresses
from cluster.options import FakeGpu

_MANIFESTS: Final = Path(__file__).parent / "manifests"


def apply_coredns(access: KubeAccess, addresses: ClusterAddresses) -> None:
    """Give the cluster its names."""
    text = Template((_MANIFESTS / "coredns.yaml").read_text())
    access.apply(text.substitute(IMAGE=images.COREDNS, DNS=addresses.dns_service))


def create_kuberay_crds(access: KubeAccess, kuberay: Path, *, jobs: bool) -> None:
    """Make KubeRay's kinds known. Safe to repeat.

    Args:
        access: the cluster.
        kuberay: the folder with the definitions.
        jobs: also those of jobs, which KubeRay's operator wants and nothing else. They cost the
            API server more processor time than its own start.
    """
    known = access.kubectl("get", "customresourcedefinitions", "-o", "name").split()
    for kind, crd in _crds(kuberay, jobs=jobs).items():
        if f"customresourcedefinition.apiextensions.k8s.io/{kind}.ray.io" not in known:
            # Created and not applied: that takes the API server a third of the time.
            access.kubectl("create", "--validate=false", "-f", str(crd), within=120)


def kuberay_kinds_are_served(access: KubeAccess, kuberay: Path, *, jobs: bool) -> bool:
    """Say whether all of them are, which is some time after they were created."""
    got = access.try_kubectl("get", "--raw", "/apis/ray.io/v1")
    if got.returncode:
        return False
    served = {kind["name"] for kind in json.loads(got.stdout)["resources"]}
    return _crds(kuberay, jobs=jobs).keys() <= served


def _crds(kuberay: Path, *, jobs: bool) -> dict[str, Path]:
    """Return the file of each kind, as in ray.io_rayclusters.json."""
    found = {
        crd.stem.removeprefix("ray.io_"): crd for crd in sorted((kuberay / "crds").glob("*.json"))
    }
    return {kind: crd for kind, crd in found.items() if jobs or "jobs" not in kind}


def apply_kuberay(access: KubeAccess, kuberay: Path) -> None:
    """Install KubeRay's role and its operator."""
    access.kubectl("apply", "--server-side", "-f", str(kuberay / "role.yaml"))
    text = Template((_MANIFESTS / "kuberay.yaml").read_text())
    version = golang.kuberay_version().removeprefix("v")
    access.apply(text.substitute(IMAGE=images.KUBERAY, VERSION=version))


def is_available(access: KubeAccess, namespace: str, deployment: str) -> bool:
    """Say whether the Deployment's pods are ready."""
    got = access.try_kubectl("-n", namespace, "get", "deployment", deployment, "-o", "json")
    if got.returncode:
        return False
    found = json.loads(got.stdout)
    status = found["status"]
    return bool(
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == status.get("readyReplicas", 0) >= 1
        and status.get("replicas") == found["spec"]["replicas"]
    )


def pretend_gpus(access: KubeAccess, node: str, gpus: FakeGpu) -> None:
    """Make a node say that it has GPUs, with the labels that NVIDIA's discovery gives.

    The kubelet drops them when it registers again, so this follows each of its starts.
    """
    patch = [
        {"op": "add", "path": f"/status/{kind}/nvidia.com~1gpu", "value": str(gpus.count)}
        for kind in ("capacity", "allocatable")
    ]
    access.kubectl(
        "patch", "node", node, "--subresource=status", "--type=json", "-p", json.dumps(patch)
    )
    access.kubectl(
        "label", "node", node, "--overwrite",
        f"nvidia.com/gpu.product={gpus.product}",
        f"nvidia.com/gpu.count={gpus.count}",
        f"nvidia.com/gpu.memory={gpus.memory}",
    )  # fmt: skip


def make_volume(
    access: KubeAccess,
    name: str,
    folder: Path,
    size: str,
    *,
    claim: tuple[str, str] | None = None,
    storage_class: str = "",
) -> None:
    """Make a PersistentVolume out of a folder of this machine; nothing here makes them on demand.

    Args:
        access: the cluster.
        name: of the PersistentVolume.
        folder: made when it is not there, and open to every user, since no fsGroup reaches it.
        size: a quantity, as `5Gi`.
        claim: namespace and name of the only claim that may have it.
        storage_class: what claims have to name; empty for claims that ask for none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)
    spec: dict[str, object] = {
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": storage_class,
        "hostPath": {"path": str(folder), "type": "Directory"},
    }
    if claim:
        spec["claimRef"] = {"namespace": claim[0], "name": claim[1]}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": spec,
    }
    access.apply(json.dumps(volume))
