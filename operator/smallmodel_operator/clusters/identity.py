"""What tells installations and clusters apart, and the Secrets that belong in the backup."""

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

from smallmodel_operator.api.names import LABEL_MANAGED_BY, MANAGER
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import NAMESPACES, SECRETS, Ref

HUB_SECRET: Final = "smallmodel-hub"  # noqa: S105 - a name
HUB_KEY: Final = "hubID"
TOKENS_SECRET: Final = "smallmodel-pool-tokens"  # noqa: S105 - a name
TOKENS_KEY: Final = "key"
_KUBE_SYSTEM: Final = NAMESPACES.ref("kube-system")
_HUB_BYTES: Final = 8
_TOKENS_BYTES: Final = 32
# What a label's value may be, since the id is one.
_HUB_ID: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# As many hexadecimal digits as a random key of 16 bytes has.
_TOKEN_KEY: Final = re.compile(r"[!-~]{32,}")


class IdentityUnreadable(errors.ApiError):
    """The Secret is there, and does not hold what it is for."""


async def hub_id(api: Api, namespace: str) -> str:
    """Return this installation's id, made now if there is none.

    Raises:
        IdentityUnreadable: The Secret is there, and holds no id.
        ApiError: It could not be read or made.
    """
    ref = SECRETS.ref(HUB_SECRET, namespace)
    text = await _kept(api, ref, HUB_KEY, secrets.token_hex(_HUB_BYTES))
    if not _HUB_ID.fullmatch(text):
        raise IdentityUnreadable(
            f"{ref} has no usable id under {HUB_KEY}; restore it from the backup, or delete it to "
            "begin anew (objects with the former id are then left alone)"
        )
    return text


async def token_key(api: Api, namespace: str) -> str:
    """Return what the tokens of all pools are made from, made now if there is none.

    Raises:
        IdentityUnreadable: The Secret is there, and holds no key.
        ApiError: It could not be read or made.
    """
    ref = SECRETS.ref(TOKENS_SECRET, namespace)
    text = await _kept(api, ref, TOKENS_KEY, secrets.token_hex(_TOKENS_BYTES))
    if not _TOKEN_KEY.fullmatch(text):
        raise IdentityUnreadable(
            f"{ref} has no usable key of 32 characters or more under {TOKENS_KEY}; restore it from "
            "the backup, or delete it to begin anew (pools that run have to be made anew then)"
        )
    return text


async def cluster_uid(api: Api) -> str:
    """Return what tells a cluster from all others.

    Raises:
        ApiError: It could not be read.
    """
    kube_system = await api.get(_KUBE_SYSTEM)
    if kube_system is None:
        raise errors.ServerFailed(
            f"there is no {_KUBE_SYSTEM}, which every cluster has; check that the address is that "
            "of a Kubernetes API server"
        )
    uid: str = kube_system["metadata"]["uid"]
    return uid


async def _kept(api: Api, ref: Ref, key: str, fresh: str) -> str:
    """Return the text that a Secret keeps, or an empty one; it keeps the fresh one if it is new."""
    live = await api.get(ref)
    if live is None:
        try:
            live = await api.create(_manifest(ref, key, fresh))
        except errors.AlreadyExists:
            # Another operator made it in this moment; its text is the one.
            live = await api.get(ref)
    return _read(live or {}, key)


def _manifest(ref: Ref, key: str, text: str) -> dict[str, Any]:
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": {
            "name": ref.name,
            "namespace": ref.namespace,
            "labels": {LABEL_MANAGED_BY: MANAGER},
        },
        "type": "Opaque",
        # With another id, everything that this installation made would be a stranger's; with
        # another key, every pool's token would be another one.
        "immutable": True,
        "data": {key: base64.b64encode(text.encode()).decode()},
    }


def _read(secret: Mapping[str, Any], key: str) -> str:
    encoded = (secret.get("data") or {}).get(key, "")
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
