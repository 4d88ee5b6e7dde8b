"""What a node has."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from smallmodel_operator.clusters.quantities import amount_of

_GIB: Final = 2**30
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vendor:
    """How a vendor's device plugin and labeller name things."""

    resource: str
    product_label: str
    memory_label: str
    memory_unit: int
    """Bytes of one in the memory label."""
    memory_of_all: bool = False
    """The memory label says what all devices of the node have together."""


_VENDORS: Final = (
    # https://github.com/NVIDIA/k8s-device-plugin/tree/main/docs/gpu-feature-discovery: MiB of each
    _Vendor(
        resource="nvidia.com/gpu",
        product_label="nvidia.com/gpu.product",
        memory_label="nvidia.com/gpu.memory",
        memory_unit=_MIB,
    ),
    # https://instinct.docs.amd.com/projects/k8s-device-plugin/: `64G` of each, in powers of two
    _Vendor(
        resource="amd.com/gpu",
        product_label="amd.com/gpu.product-name",
        memory_label="amd.com/gpu.vram",
        memory_unit=_GIB,
    ),
    # https://intel.github.io/intel-device-plugins-for-kubernetes/cmd/gpu_plugin/labels.html: bytes
    _Vendor(
        resource="gpu.intel.com/i915",
        product_label="gpu.intel.com/product",
        memory_label="gpu.intel.com/memory.max",
        memory_unit=1,
        memory_of_all=True,
    ),
)
ACCELERATOR_RESOURCES: Final = tuple(vendor.resource for vendor in _VENDORS)
UNKNOWN_PRODUCT: Final = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    """What keeps pods off a node that do not tolerate it."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceleratorFacts:
    """Devices of one node."""

    resource: str
    """As pods ask for them: `nvidia.com/gpu`."""
    product: str
    """As the node's label says; `UNKNOWN_PRODUCT` without one."""
    memory_bytes: int | None
    """Of each; unset where no label says it."""
    allocatable: int
    requested: int
    """By pods that are not of our pools."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """One node."""

    name: str
    ready: bool
    cordoned: bool
    """Takes no new pods, whatever they tolerate."""
    taints: tuple[Taint, ...]
    """Those that keep new pods off: NoSchedule and NoExecute."""
    cpu_cores: float
    """Allocatable."""
    memory_bytes: int
    """Allocatable."""
    requested_cpu_cores: float
    """By pods that are not of our pools."""
    requested_memory_bytes: int
    """By pods that are not of our pools."""
    accelerators: tuple[AcceleratorFacts, ...]


def node_of(node: Mapping[str, Any], requested: Mapping[str, float]) -> NodeFacts:
    """Return what a node has.

    Args:
        node: The Node object.
        requested: What pods that are not of our pools ask of it, by resource.
    """
    spec, status = node.get("spec") or {}, node.get("status") or {}
    allocatable = {k: amount_of(v) for k, v in (status.get("allocatable") or {}).items()}
    conditions = {one["type"]: one["status"] for one in status.get("conditions") or ()}
    labels = node["metadata"].get("labels") or {}
    return NodeFacts(
        name=node["metadata"]["name"],
        ready=conditions.get("Ready") == "True",
        cordoned=bool(spec.get("unschedulable")),
        taints=tuple(
            Taint(key=one["key"], value=one.get("value", ""), effect=one["effect"])
            for one in spec.get("taints") or ()
            if one["effect"] in {"NoSchedule", "NoExecute"}
        ),
        cpu_cores=allocatable.get("cpu", 0.0),
        memory_bytes=int(allocatable.get("memory", 0)),
        requested_cpu_cores=requested.get("cpu", 0.0),
        requested_memory_bytes=math.ceil(requested.get("memory", 0)),
        accelerators=tuple(
            _accelerators(vendor, labels, int(allocatable[vendor.resource]), requested)
            for vendor in _VENDORS
            if allocatable.get(vendor.resource)
        ),
    )


def _accelerators(
    vendor: _Vendor, labels: Mapping[str, str], count: int, requested: Mapping[str, float]
) -> AcceleratorFacts:
    return AcceleratorFacts(
        resource=vendor.resource,
        product=labels.get(vendor.product_label) or UNKNOWN_PRODUCT,
        memory_bytes=_memory(vendor, labels.get(vendor.memory_label), count),
        allocatable=count,
        requested=math.ceil(requested.get(vendor.resource, 0)),
    )


def _memory(vendor: _Vendor, label: str | None, count: int) -> int | None:
    # A person may have written the label. What is no number is as good as none.
    digits = (label or "").removesuffix("G")
    if not digits.isdecimal():
        return None
    total = int(digits) * vendor.memory_unit
    return total // count if vendor.memory_of_all else total
