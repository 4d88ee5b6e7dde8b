"""Nodes without room: a model says what it needs and who has it, and goes on when there is room.

The operator is a process of its own on a real API server. The nodes are objects that no kubelet
stands behind, and their devices, and the pods that hold these, are numbers in them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

from bench.cluster.operator_process import SYSTEM, operator_process
from cluster.access import KubeAccess
from smallmodel_operator.api.names import LABEL_HUB, LOCAL_CLUSTER, placement_namespace
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.identity import hub_id
from smallmodel_operator.clusters.ref import NAMESPACES, NODES, SMALLMODELS
from smallmodel_operator.install.catalogue import build_card
from smallmodel_operator.local.bundled import fetch_bundled_cards

pytestmark = pytest.mark.api

CARD: Final = "smollm2-135m-instruct"
PRODUCT: Final = "NVIDIA-TEST"
GPU: Final = "nvidia.com/gpu"
PLACEMENTS: Final = placement_namespace(LOCAL_CLUSTER)
_LOOKS_EVERY: Final = 10.0
"""Seconds between two looks of the operator at the nodes."""


@pytest.fixture
async def operator(
    control_plane: KubeAccess, api: Api, crds: None, tmp_path: Path
) -> AsyncIterator[None]:
    """The operator with an image for accelerators, and the card that is asked for."""
    del crds
    await _namespace(api, SYSTEM, {})
    # Tests before this one may have made it for loops of their own.
    await _namespace(api, PLACEMENTS, {LABEL_HUB: await hub_id(api, SYSTEM)})
    for card in fetch_bundled_cards().cards:
        if card.metadata.name == CARD:
            await api.apply(build_card(card))
    image = {"SMALLMODEL_SERVING_GPU_IMAGE": "example.invalid/serving-gpu:1"}
    log = tmp_path / "operator.log"
    async with operator_process(control_plane.kubeconfig, log, environment=image) as process:
        await process.wait_ready()
        yield


@pytest.fixture
async def node(api: Api, namespace: str) -> AsyncIterator[str]:
    """A node with two accelerators, both of which a pod of somebody else has from the beginning."""
    name = f"paper-{uuid4().hex[:8]}"
    labels = {f"{GPU}.product": PRODUCT, f"{GPU}.memory": "23034"}
    await api.create(
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
    )
    await api.create(_pod(namespace, name))
    resources = {"cpu": "8", "memory": "32Gi", "pods": "110", GPU: "2"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}
    status = {"capacity": resources, "allocatable": resources, "conditions": [ready]}
    await api.patch_status(NODES.ref(name), status)
    yield name
    await api.delete(NODES.ref(name))


@pytest.fixture
async def model(api: Api, namespace: str, operator: None, node: str) -> AsyncIterator[str]:
    """A model that needs an accelerator of that node."""
    del operator, node
    await api.create(
        {
            "apiVersion": SMALLMODELS.api_version,
            "kind": SMALLMODELS.kind,
            "metadata": {"name": "chat", "namespace": namespace},
            "spec": {
                "model": CARD,
                "engine": "VLLM",
                "resources": {"accelerator": {"class": PRODUCT, "count": 1}},
            },
        }
    )
    yield "chat"
    await api.delete(SMALLMODELS.ref("chat", namespace))


async def test_accelerators_that_are_taken_are_told_in_numbers_until_one_is_free(
    control_plane: KubeAccess, api: Api, namespace: str, node: str, model: str
) -> None:
    waits = await _placed(api, namespace, model, lambda it: it["reason"] == "AcceleratorCapacity")

    assert waits["status"] == "False"
    assert f"needs 1 x {PRODUCT}" in waits["message"]
    assert f"{node} has 2, 0 of them free" in waits["message"]
    assert "goes on by itself" in waits["message"]
    assert (await _condition(api, namespace, model, "Stalled"))["status"] == "False"

    _end_holder(control_plane, namespace)
    await _placed(api, namespace, model, lambda it: it["status"] == "True")


async def test_a_cordoned_node_counts_for_nothing_until_it_is_uncordoned(
    control_plane: KubeAccess, api: Api, namespace: str, node: str, model: str
) -> None:
    await api.merge_patch(NODES.ref(node), {"spec": {"unschedulable": True}})
    _end_holder(control_plane, namespace)

    waits = await _placed(api, namespace, model, lambda it: "(cordoned)" in it["message"])
    assert (waits["status"], waits["reason"]) == ("False", "AcceleratorCapacity")
    assert f"{node} (cordoned) has 2, 2 of them free" in waits["message"]

    await api.merge_patch(NODES.ref(node), {"spec": {"unschedulable": False}})
    await _placed(api, namespace, model, lambda it: it["status"] == "True")


async def _namespace(api: Api, name: str, labels: dict[str, str]) -> None:
    if await api.get(NAMESPACES.ref(name)) is None:
        await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    await api.merge_patch(NAMESPACES.ref(name), {"metadata": {"labels": labels}})


async def _placed(
    api: Api, namespace: str, model: str, says: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """Return Placed once it says so."""
    condition: dict[str, Any] = {}
    try:
        async with asyncio.timeout(6 * _LOOKS_EVERY):
            while not (condition and says(condition)):
                condition = await _condition(api, namespace, model, "Placed")
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"Placed of {model} is {condition}")
    return condition


async def _condition(api: Api, namespace: str, model: str, kind: str) -> dict[str, Any]:
    found = await api.get(SMALLMODELS.ref(model, namespace)) or {}
    conditions: list[dict[str, Any]] = found.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == kind), {})


def _end_holder(control_plane: KubeAccess, namespace: str) -> None:
    """Let the pod be gone at once, since no kubelet would say that it ended."""
    control_plane.kubectl("-n", namespace, "delete", "pod", "holder", "--force", "--grace-period=0")


def _pod(namespace: str, node: str) -> dict[str, Any]:
    holds = {GPU: "2"}
    container = {"name": "main", "image": "x", "resources": {"requests": holds, "limits": holds}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "holder", "namespace": namespace},
        "spec": {"nodeName": node, "containers": [container]},
    }
