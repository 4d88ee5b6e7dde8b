"""Objects as lists and events tell them, the installation's own and others'."""

from typing import Any

from builders.pool_values import placement_of
from builders.yaml_objects import small_model
from smallmodel_operator.api.names import LABEL_HUB
from smallmodel_operator.plan.placements import placement_manifest
from smallmodel_operator.plan.pools.values import COMPONENT_FETCH, LABEL_COMPONENT, Manifest

HUB = "hub-1"
TEAM = "team-a"


def model(name: str = "chat", **spec: Any) -> Manifest:
    made = small_model(name, **spec)
    return made | {"metadata": {"name": name, "namespace": TEAM, "generation": 3}}


def ours(kind: str, name: str, **metadata: Any) -> Manifest:
    labels = {LABEL_HUB: HUB} | metadata.pop("labels", {})
    return {
        "kind": kind,
        "metadata": {"name": name, "namespace": TEAM, "labels": labels, **metadata},
    }


def fetch_job(name: str, **metadata: Any) -> Manifest:
    return ours("Job", name, labels={LABEL_COMPONENT: COMPONENT_FETCH}, **metadata)


def theirs(kind: str, name: str) -> Manifest:
    return {"kind": kind, "metadata": {"name": name, "namespace": TEAM}}


def placement(name: str = "chat", **status: Any) -> Manifest:
    made = placement_of(name, status=status, metadata={"labels": {LABEL_HUB: HUB}})
    dumped = made.model_dump(mode="json", by_alias=True, exclude_none=True)
    return placement_manifest(made) | {"status": dumped["status"]}


def pod(name: str, **status: Any) -> Manifest:
    labels = {"batch.kubernetes.io/job-name": "fetch-chat"}
    return {"metadata": {"name": name, "namespace": TEAM, "labels": labels}, "status": status}


def ended(message: str | None) -> Manifest:
    return {"containerStatuses": [{"state": {"terminated": {"message": message}}}]}
