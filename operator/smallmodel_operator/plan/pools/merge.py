"""Whether applying an object would change the live one, so that nothing is written in vain.

The wanted object names only what is ours. Kubernetes adds defaults and a status, and other managers
add fields of their own: neither is a difference.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from smallmodel_operator.api.base import amount
from smallmodel_operator.api.names import MANAGER
from smallmodel_operator.plan.pools.values import Manifest

_ITEM_KEYS: Final = ("name", "mountPath", "containerPort")
"""By which items of lists are told apart, as in the schemas of pods."""

_QUANTITIES: Final = frozenset({"requests", "limits", "sizeLimit"})

_EXACT: Final = frozenset({"workerGroupSpecs"})
"""Lists that are applied as a whole: what others added to an item would be removed."""

_DEFAULTS: Final[Mapping[str, Any]] = {"replicas": 0, "numOfHosts": 1, "protocol": "TCP"}
"""What KubeRay's schema fills in below such a list. KubeRay itself also writes empty fields."""

_IDENTITY: Final = frozenset({"apiVersion", "kind", "name", "namespace"})


def differs(live: Manifest, wanted: Manifest, *, manager: str = MANAGER) -> bool:
    """Return whether server-side apply of the wanted object would change the live one.

    A field that was applied before and is wanted no longer is seen by `metadata.managedFields`; a
    live object without them is compared by what is wanted alone.
    """
    if not _covers(live, wanted, "", exact=False):
        return True
    managed = live.get("metadata", {}).get("managedFields") or []
    return any(
        _is_dropped(entry.get("fieldsV1", {}), wanted)
        for entry in managed
        if entry.get("manager") == manager
        and entry.get("operation") == "Apply"
        and not entry.get("subresource")
    )


def _covers(live: Any, wanted: Any, name: str, *, exact: bool) -> bool:
    if isinstance(wanted, Mapping):
        return _covers_fields(live, wanted, name, exact=exact)
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return _covers_items(live, wanted, exact=exact or name in _EXACT)
    if _is_empty(wanted) and _is_empty(live):
        return True
    if type(live) is type(wanted) and live == wanted:
        return True
    return name in _QUANTITIES and _quantity(live) == _quantity(wanted) is not None


def _covers_fields(live: Any, wanted: Mapping[str, Any], name: str, *, exact: bool) -> bool:
    if not isinstance(live, Mapping):
        return live is None and _is_empty(wanted)
    inner = name if name in _QUANTITIES else ""
    if exact and any(_is_added(field, live[field]) for field in live.keys() - wanted.keys()):
        return False
    return all(
        _covers(live.get(field), value, inner or field, exact=exact)
        for field, value in wanted.items()
    )


def _covers_items(live: Any, wanted: Sequence[Any], *, exact: bool) -> bool:
    if not isinstance(live, Sequence) or isinstance(live, str):
        return live is None and not wanted
    key = _item_key([*live, *wanted])
    if key is None or exact:
        return len(live) == len(wanted) and all(
            _covers(one, other, "", exact=exact) for one, other in zip(live, wanted, strict=True)
        )
    by_key = {item[key]: item for item in live}
    return all(_covers(by_key.get(item[key]), item, "", exact=False) for item in wanted)


def _item_key(items: Sequence[Any]) -> str | None:
    if not all(isinstance(item, Mapping) for item in items):
        return None
    return next((key for key in _ITEM_KEYS if all(key in item for item in items)), None)


def _is_added(field: str, value: Any) -> bool:
    return not _is_empty(value) and _DEFAULTS.get(field) != value


def _is_empty(value: Any) -> bool:
    """Return whether KubeRay's Go types would leave the value out, or write it for nothing."""
    if isinstance(value, Mapping):
        return all(_is_empty(each) for each in value.values())
    return value is None or (isinstance(value, str | Sequence) and len(value) == 0)


def _quantity(value: Any) -> float | None:
    try:
        return amount(str(value))
    except ValueError:
        return None


def _is_dropped(owned: Mapping[str, Any], wanted: Any) -> bool:
    """Return whether a field that we own is no longer among the wanted ones."""
    for path, below in owned.items():
        kind, _, name = path.partition(":")
        if kind != "f" or name in _IDENTITY:
            continue
        if not isinstance(wanted, Mapping) or wanted.get(name) is None:
            return True
        if _is_dropped(below, wanted[name]):
            return True
    return False
