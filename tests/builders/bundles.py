"""Files that are carried, and what somebody may do to them on their way."""

import json
from collections.abc import Callable
from typing import Any

from builders.pool_values import placement_of
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import FINALIZER, LABEL_HUB, placement_namespace
from smallmodel_operator.clusters.signing import SigningKey
from smallmodel_operator.plan.placements import spec_hash
from smallmodel_operator.reconcile.bundle import BundleError, Damaged, Unfit

Change = Callable[[dict[str, Any]], object]


def decided(name: str = "chat", *, uid: str | None = None, **spec: Any) -> ModelPlacement:
    """Return what the hub decided for the cluster `edge`."""
    namespace = spec.pop("namespace", "team")
    metadata = {
        "namespace": placement_namespace("edge"),
        "labels": {LABEL_HUB: "hub-1"},
        "finalizers": [FINALIZER],
        "generation": 3,
        "uid": uid or f"uid-{name}",
    }
    made = placement_of(name, namespace=namespace, metadata=metadata, **{"cluster": "edge"} | spec)
    hashed = made.spec.model_copy(update={"spec_hash": spec_hash(made.spec)})
    return made.model_copy(update={"spec": hashed})


def ending(placement: ModelPlacement) -> ModelPlacement:
    """Return it while it is being deleted."""
    since = {"deletion_timestamp": "2026-11-29T11:00:00Z"}
    return placement.model_copy(update={"metadata": placement.metadata.model_copy(update=since)})


def manifest_of(placement: ModelPlacement) -> dict[str, Any]:
    """Return a placement as an API server has it."""
    values: dict[str, Any] = placement.model_dump(mode="json", by_alias=True, exclude_none=True)
    return values


def content_of(file: str) -> dict[str, Any]:
    """Return the document in a file."""
    document = file.partition("\n")[2].rpartition("\nsignature ed25519 ")[0]
    values: dict[str, Any] = json.loads(document)
    return values


def signed_anew(file: str, key: SigningKey, change: Change) -> str:
    """Return a file with another content, signed as its writer would."""
    values = content_of(file)
    change(values)
    text = f"{file.partition(chr(10))[0]}\n{json.dumps(values, indent=1)}"
    return f"{text}\nsignature ed25519 {key.sign(text.encode())}\n"


def with_values(**changes: Any) -> Change:
    """Have the document say something else."""
    return lambda values: values.update(changes)


def _smuggle(values: dict[str, Any]) -> None:
    values["placements"].append(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "data": {}}
    )


def placement_with(**changes: Any) -> Change:
    """Have its first placement say something else."""
    return lambda values: values["placements"][0]["spec"].update(changes)


DAMAGED: dict[str, tuple[Callable[[str], str], str]] = {
    "not a bundle": (lambda _: "apiVersion: v1\n", "a bundle begins with"),
    "nothing": (lambda _: "", "a bundle begins with"),
    "cut off": (lambda file: file[: len(file) // 2], "does not end with a signature"),
    "cut off in the signature": (lambda file: file[:-10], "does not end with a signature"),
    "something added": (lambda file: f"{file}\n", "does not end with a signature"),
    "one byte of it": (
        lambda file: file.replace('"q4_1"', '"q8_1"'),
        "it was changed on its way, or somebody else wrote it",
    ),
    "one byte of the signature": (
        lambda file: f"{file[:-10]}{'A' if file[-10] != 'A' else 'B'}{file[-9:]}",
        "it was changed on its way, or somebody else wrote it",
    ),
    "no JSON any more": (lambda file: file.replace("{", "[", 1), "cannot be read"),
    "another key": (
        lambda file: signed_anew(file, SigningKey.make(), lambda _: None),
        "its signature is not by that hub's key",
    ),
}


WRONG_WITHIN: dict[str, tuple[Change, type[BundleError], str]] = {
    "another cluster": (with_values(cluster="munich"), Unfit, "it is for ModelCluster munich"),
    "another UID": (with_values(clusterUID="uid-x"), Unfit, "with the UID uid-x"),
    "another hub": (with_values(hubID="hub-x"), Unfit, "it is of the hub hub-x"),
    "a newer contract": (with_values(contract=99), Unfit, "contract 99, and this version knows"),
    "no serial": (with_values(serial=0), Damaged, "serial: Input should be"),
    "no time": (with_values(exportedAt="now"), Damaged, "exportedAt"),
    "a time of nowhere": (
        with_values(exportedAt="2026-11-29T12:00:00"),
        Damaged,
        "the offset from UTC",
    ),
    "no placements": (with_values(placements=7), Damaged, "another version wrote it"),
    "another kind": (_smuggle, Damaged, "(Secret x) is of the kind v1 Secret"),
    "of another hub within": (
        placement_with(hubId="hub-x"),
        Damaged,
        "is of the hub hub-1, hub-x",
    ),
    "for another cluster within": (
        placement_with(cluster="munich"),
        Damaged,
        "is for ModelCluster munich",
    ),
    "under another's name": (
        placement_with(model={"namespace": "kube-system", "name": "x", "generation": 1}),
        Damaged,
        "is to be called kube-system-x",
    ),
    "of nobody": (placement_with(model=None), Damaged, "lacks what says whose"),
    "elsewhere": (
        lambda values: values["placements"][0]["metadata"].update(namespace="default"),
        Damaged,
        "is of the namespace default",
    ),
    "twice": (
        lambda values: values["placements"].append(values["placements"][0]),
        Damaged,
        "is in it twice",
    ),
}
