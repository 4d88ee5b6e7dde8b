"""The id of this installation: made once, and kept in a Secret that belongs in the backup."""

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

from smallmodel_operator.api.names import LABEL_MANAGED_BY, MANAGER
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import SECRETS, Ref

HUB_SECRET: Final = "smallmodel-hub"  # noqa: S105 - a name
HUB_KEY: Final = "hubID"
_BYTES: Final = 8
# What a label's value may be, since the id is one.
_HUB_ID: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class HubIdUnreadable(errors.ApiError):
    """The Secret is there, and holds no id."""


async def hub_id(api: Api, namespace: str) -> str:
    """Return this installation's id, made now if there is none.

    Raises:
        HubIdUnreadable: The Secret is there, and holds no id.
        ApiError: It could not be read or made.
    """
    ref = SECRETS.ref(HUB_SECRET, namespace)
    live = await api.get(ref)
    if live is None:
        try:
            live = await api.create(_manifest(ref))
        except errors.AlreadyExists:
            # Another operator made it in this moment; its id is the one.
            live = await api.get(ref)
    return _read(live or {}, ref)


def _manifest(ref: Ref) -> dict[str, Any]:
    value = base64.b64encode(secrets.token_hex(_BYTES).encode()).decode()
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": {
            "name": ref.name,
            "namespace": ref.namespace,
            "labels": {LABEL_MANAGED_BY: MANAGER},
        },
        "type": "Opaque",
        # With another id, everything that this installation made would be a stranger's.
        "immutable": True,
        "data": {HUB_KEY: value},
    }


def _read(secret: Mapping[str, Any], ref: Ref) -> str:
    encoded = (secret.get("data") or {}).get(HUB_KEY, "")
    try:
        text = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    if not _HUB_ID.fullmatch(text):
        raise HubIdUnreadable(
            f"{ref} has no usable id under {HUB_KEY}; restore it from the backup, or delete it to "
            "begin anew (objects with the former id are then left alone)"
        )
    return text
