"""What somebody wrote into an object of ours, read from who manages which of its fields."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from smallmodel_operator.api.names import MANAGER
from smallmodel_operator.clusters.compare import covers

_CONTROLLERS: Final = frozenset({"manager", "kuberay-operator"})
"""KubeRay, by the names of its binary. It writes worker groups too, and that is no edit."""
_NAMED_MAX: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One field that is not as it is to be, since somebody else wrote it.

    Attributes:
        path: As `kubectl explain` writes paths; items of lists by what tells them apart.
        manager: Who, as they called themselves.
        time: RFC 3339, when they last wrote; empty where it is not told.
    """

    path: str
    manager: str
    time: str


def edits_of(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[Edit, ...]:
    """Return what would be taken back if `wanted` were applied by force.

    Fields that others added, and that are not wanted otherwise, are their business. A field that
    somebody deleted has no manager, and is not told.

    Args:
        live: The object as it was read, with its `managedFields`.
        wanted: What is to be applied.
    """
    found: dict[str, Edit] = {}
    for entry in live["metadata"].get("managedFields") or ():
        if entry["manager"] in {MANAGER, *_CONTROLLERS} or entry.get("subresource"):
            continue
        for path in _paths(entry.get("fieldsV1") or {}, live, wanted, ""):
            found[path] = Edit(path=path, manager=entry["manager"], time=entry.get("time") or "")
    return tuple(found[path] for path in sorted(found))


def describe_edits(edits: Sequence[Edit]) -> str:
    """Return edits in words: the first few, with who made them and when."""
    named = ", ".join(f"{one.path} ({one.manager}, {one.time})" for one in edits[:_NAMED_MAX])
    more = f" and {len(edits) - _NAMED_MAX} more" if len(edits) > _NAMED_MAX else ""
    return f"{named}{more}"


def _paths(owned: Mapping[str, Any], live: Any, wanted: Any, path: str) -> Iterator[str]:
    """Yield the paths of owned fields that are to be otherwise.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/ has how
    `fieldsV1` names fields (`f:`) and items of lists (`k:`).
    """
    for name, below in owned.items():
        kind, _, value = name.partition(":")
        if kind == "f" and isinstance(wanted, Mapping) and isinstance(live, Mapping):
            inner = f"{path}.{value}" if path else value
            pair = live.get(value), wanted.get(value)
        elif kind == "k":
            inner = f"{path}[{value}]"
            pair = _item(live, value), _item(wanted, value)
        else:
            continue
        if pair[1] is None or covers(*pair):
            continue
        deeper = list(_paths(below, *pair, inner))
        yield from deeper or [inner]


def _item(items: Any, keys: str) -> Any:
    """Return the item of a list that has these keys, or None."""
    names = json.loads(keys).items()
    if not isinstance(items, list | tuple):
        return None
    return next((one for one in items if names <= one.items()), None)
