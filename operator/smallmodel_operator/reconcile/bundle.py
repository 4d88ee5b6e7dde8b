"""The files that are carried to a cluster that no line reaches, and back: their text.

A file is text that whoever guards the gap can read: one line that says what it is, one JSON
document, and one line with the signature of everything before it.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from smallmodel_operator.api.bundle import (
    BundleHead,
    BundleKind,
    Objects,
    PlacementBundle,
    StatusBundle,
)
from smallmodel_operator.api.names import (
    API_VERSION,
    GROUP,
    LABEL_HUB,
    placement_name,
    placement_namespace,
)
from smallmodel_operator.api.serving import CONTRACT
from smallmodel_operator.plan.pools.values import Manifest

_MAGIC: Final = f"{GROUP}/bundle "
_FORMAT: Final = "1"
_SIGNED_BY: Final = b"\nsignature ed25519 "
_SIGNATURE_CHARACTERS: Final = 88
_WRITTEN_BY: Final = {
    BundleKind.PLACEMENTS: "`slm bundle export CLUSTER` on the hub",
    BundleKind.STATUS: "`slm bundle export --status` in the cluster",
}
_METADATA: Final = ("name", "namespace", "uid", "generation", "deletionTimestamp", "labels")
_Bundle = TypeVar("_Bundle", PlacementBundle, StatusBundle)


class BundleError(Exception):
    """A file is not taken: the value, the rule and the next step. Nothing of it was done."""


class Damaged(BundleError):
    """It is not what it is to be, or not what its writer wrote."""


class Unfit(BundleError):
    """It is whole, and it is not for here, or not for now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A file, as far as it can be read before its signature is checked."""

    head: BundleHead
    signed: bytes
    """What the signature is of."""
    signature: str
    content: Mapping[str, Any]


def build_text(bundle: PlacementBundle | StatusBundle) -> str:
    """Return what is to be signed: the same text for the same content."""
    values = bundle.model_dump(mode="json", by_alias=True, exclude_none=True)
    document = json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False)
    return f"{_MAGIC}{_FORMAT}\n{document}"


def seal(text: str, signature: str) -> str:
    """Return the whole file."""
    return f"{text}{_SIGNED_BY.decode()}{signature}\n"


def read_envelope(content: bytes) -> Envelope:
    """Return what a file says it is.

    Raises:
        Damaged: It is no bundle, or cut off, or cannot be read.
        Unfit: A later version of slm wrote it.
    """
    first = content.split(b"\n", 1)[0].decode(errors="replace")
    if not first.startswith(_MAGIC):
        raise Damaged(
            f"it begins with {first[:40]!r}, and a bundle begins with {_MAGIC + _FORMAT!r}; give a "
            f"file that {_WRITTEN_BY[BundleKind.PLACEMENTS]} or "
            f"{_WRITTEN_BY[BundleKind.STATUS]} wrote"
        )
    if first != _MAGIC + _FORMAT:
        raise Unfit(
            f"it has the format {first.removeprefix(_MAGIC)[:20]!r}, and this slm reads format "
            f"{_FORMAT}; take the slm of the version that wrote it"
        )
    signed, _, signature = content.rpartition(_SIGNED_BY)
    if not signed or len(signature) != _SIGNATURE_CHARACTERS + 1 or not signature.endswith(b"\n"):
        raise Damaged(
            f"it has {len(content)} bytes and does not end with a signature, so it was cut off or "
            "something was added; copy it again, and compare the sizes"
        )
    try:
        values = json.loads(signed.split(b"\n", 1)[1])
        head = BundleHead.model_validate(values, extra="ignore")
    except (IndexError, ValueError) as error:
        # pydantic's is a ValueError, too.
        raise Damaged(f"it cannot be read ({_first_words(error)}); copy it again") from error
    return Envelope(
        head=head,
        signed=signed,
        signature=signature[:-1].decode(errors="replace"),
        content=values,
    )


def not_signed(head: BundleHead) -> Damaged:
    """Return what is said of a file whose signature is not right."""
    other = "hub" if head.kind is BundleKind.PLACEMENTS else "cluster"
    return Damaged(
        f"it says that it is of the {other} of ModelCluster {head.cluster}, and its signature is "
        f"not by that {other}'s key: it was changed on its way, or somebody else wrote it. Copy it "
        f"again; where the key was made anew, run `slm cluster join {head.cluster} --mode bundle` "
        "again, and apply the Secret that it writes in the cluster"
    )


def check_head(head: BundleHead, *, hub_id: str, cluster: str, cluster_uid: str | None) -> None:
    """Return where a file is for this hub and this cluster.

    Args:
        head: The file's.
        hub_id: The installation.
        cluster: The ModelCluster.
        cluster_uid: Of the cluster; None: that is not known yet.

    Raises:
        Unfit: It is not, or is of a newer version.
    """
    other = _WRITTEN_BY[head.kind]
    if head.hub_id != hub_id:
        raise Unfit(
            f"it is of the hub {head.hub_id}, and this is of the hub {hub_id}; give the file that "
            f"{other} wrote"
        )
    if head.cluster != cluster:
        raise Unfit(
            f"it is for ModelCluster {head.cluster}, and this is {cluster}; give the file that "
            f"{other} wrote for {cluster}"
        )
    if cluster_uid not in {None, head.cluster_uid}:
        raise Unfit(
            f"it is for the cluster with the UID {head.cluster_uid}, and that of {cluster} is "
            f"{cluster_uid} (of its namespace kube-system). Where the cluster was made anew, set "
            f"spec.connection.clusterUID of ModelCluster {cluster} on the hub, carry its status "
            "there, and export again"
        )
    if head.contract > CONTRACT:
        raise Unfit(
            f"its writer knows the contract {head.contract}, and this version knows {CONTRACT}: "
            "AgentTooOld. What runs goes on as it is; upgrade slm and the operator here, then "
            "import it again"
        )


def read_content(envelope: Envelope, kind: type[_Bundle]) -> _Bundle:
    """Return what is in a file whose signature was checked.

    Raises:
        Damaged: It holds something that does not belong in it.
    """
    try:
        # A later version may know more fields.
        bundle = kind.model_validate(dict(envelope.content), extra="ignore")
    except ValidationError as error:
        raise Damaged(
            f"it cannot be read ({_first_words(error)}), so another version wrote it; take the slm "
            "of that version"
        ) from error
    if isinstance(bundle, PlacementBundle):
        _check_objects(bundle.placements, bundle, {placement_namespace(bundle.cluster)})
    else:
        _check_objects(bundle.mirrors, bundle, None)
    return bundle


def _check_objects(objects: Objects, head: BundleHead, namespaces: Collection[str] | None) -> None:
    names = set[object]()
    for number, manifest in enumerate(objects, 1):
        problem = _stranger(manifest, head, namespaces)
        name = (manifest.get("metadata") or {}).get("name")
        if problem is None and name in names:
            problem = "is in it twice"
        if problem is not None:
            raise Damaged(
                f"its object {number} ({manifest.get('kind')} {name}) {problem}, and nothing "
                "but ModelPlacements of its hub for its cluster belongs in a bundle. Nothing of it "
                "is taken; find out who has the key that it is signed with"
            )
        names.add(name)


def _stranger(
    manifest: Manifest, head: BundleHead, namespaces: Collection[str] | None
) -> str | None:
    """Return why an object does not belong in a file; None where it does."""
    if (manifest.get("apiVersion"), manifest.get("kind")) != (API_VERSION, "ModelPlacement"):
        return f"is of the kind {manifest.get('apiVersion')} {manifest.get('kind')}"
    try:
        metadata, spec = manifest["metadata"], manifest["spec"]
        model = spec["model"]
        owners = {metadata["labels"].get(LABEL_HUB), spec["hubId"]}
        named = placement_name(model["namespace"], model["name"])
        where, name, cluster = metadata["namespace"], metadata["name"], spec["cluster"]
    except (AttributeError, KeyError, TypeError):
        return "lacks what says whose it is"
    if owners != {head.hub_id}:
        return f"is of the hub {', '.join(sorted(map(str, owners)))}"
    if cluster != head.cluster:
        return f"is for ModelCluster {cluster}"
    if namespaces is not None and where not in namespaces:
        return f"is of the namespace {where}"
    return None if name == named else f"is to be called {named}"


def portable(manifest: Manifest, *, with_status: bool) -> Manifest:
    """Return an object as it is carried: what the other side reads of it, and no more."""
    metadata = manifest["metadata"]
    kept = {name: metadata[name] for name in _METADATA if name in metadata}
    annotations = metadata.get("annotations") or {}
    ours = {name: text for name, text in annotations.items() if name.startswith(f"{GROUP}/")}
    carried = {
        "apiVersion": manifest["apiVersion"],
        "kind": manifest["kind"],
        "metadata": kept | ({"annotations": ours} if ours else {}),
        "spec": manifest["spec"],
    }
    status = manifest.get("status") if with_status else None
    return carried | ({"status": status} if status else {})


def next_serial(last: int, now: str) -> int:
    """Return the serial of a file that is written now.

    It is the time in seconds where that is later than all before, so that it goes on growing where
    the last one was lost with what a restored backup did not have.

    Args:
        last: The serial of the last file; 0: there was none.
        now: RFC 3339 time.
    """
    return max(last + 1, int(datetime.fromisoformat(now).timestamp()))


def _first_words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, found['loc']))}: {found['msg']}"
    return str(error)
