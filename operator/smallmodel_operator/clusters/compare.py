"""Whether a live object already is what a manifest says, so that nothing need be written."""

import json
from collections.abc import Mapping
from typing import Any, Final

from smallmodel_operator.api.names import short_hash
from smallmodel_operator.clusters.quantities import amount_of
from smallmodel_operator.clusters.ref import Manifest

ANNOTATION_APPLIED: Final = "smallmodel.dev/applied"
"""A hash of the manifest that was applied last: it tells that a field was left out since."""

# API servers write these of their own kinds in their own way: `1000m` comes back as `1`.
_QUANTITIES: Final = frozenset({"requests", "limits"})
_QUANTITY: Final = "sizeLimit"


def stamp(manifest: Mapping[str, Any]) -> Manifest:
    """Return the manifest with the hash of itself among its annotations."""
    digest = short_hash(json.dumps(manifest, sort_keys=True, separators=(",", ":")), 16)
    metadata = manifest["metadata"]
    annotations = {**(metadata.get("annotations") or {}), ANNOTATION_APPLIED: digest}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def is_applied(live: Mapping[str, Any], stamped: Mapping[str, Any]) -> bool:
    """Tell whether the stamped manifest was the last one applied, and nobody changed it since.

    Fields that others added are their business.
    """
    return covers(live, stamped)


def covers(live: Any, wanted: Any) -> bool:
    """Tell whether a live value has everything of a wanted one."""
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(
            _field_covers(key, live.get(key), value) for key, value in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return (
            isinstance(live, list)
            and len(live) == len(wanted)
            and all(covers(*pair) for pair in zip(live, wanted, strict=True))
        )
    # True is 1 to Python, and is not to Kubernetes.
    return type(live) is type(wanted) and bool(live == wanted)


def _field_covers(key: str, live: Any, wanted: Any) -> bool:
    if live is None:
        return _is_empty(wanted)
    if key in _QUANTITIES and isinstance(wanted, Mapping) and isinstance(live, Mapping):
        return wanted.keys() <= live.keys() and all(
            _same_amount(live[name], value) for name, value in wanted.items()
        )
    if key == _QUANTITY:
        return _same_amount(live, wanted)
    return covers(live, wanted)


def _same_amount(live: Any, wanted: Any) -> bool:
    try:
        return amount_of(live) == amount_of(wanted)
    except ValueError:
        return bool(live == wanted)


def _is_empty(value: Any) -> bool:
    """Tell whether the API server leaves the field out, as its own kinds do with empty values."""
    return value is None or value in ({}, [], "", 0, False)
