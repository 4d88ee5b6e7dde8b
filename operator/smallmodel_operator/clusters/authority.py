"""The Secrets with certificates of gateways: the installation's authority, and each cluster's own.

The authority belongs in the backup. With another one, clusters that are not connected at the time
are strangers to all others until they are.
"""

import base64
import binascii
import datetime
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from smallmodel_operator.api.names import LABEL_MANAGED_BY, MANAGER, gateway_identity
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.certificates import (
    CertificateUnreadable,
    Pair,
    ends_at,
    make_authority,
    make_leaf,
    why_renew,
)
from smallmodel_operator.clusters.identity import IdentityUnreadable
from smallmodel_operator.clusters.ref import SECRETS, Ref
from smallmodel_operator.plan.gateway.secret_files import CERTIFICATE, KEY, TLS_SECRET, TRUSTED

AUTHORITY_SECRET: Final = "smallmodel-gateway-ca"  # noqa: S105 - a name
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """Until when certificates are good."""

    authority: datetime.datetime
    leaf: datetime.datetime


async def authority(api: Api, namespace: str, hub_id: str, now: datetime.datetime) -> Pair:
    """Return the installation's authority, made now if there is none.

    Raises:
        IdentityUnreadable: The Secret is there, and holds no authority, or one that ended.
        ApiError: It could not be read or made.
    """
    ref = SECRETS.ref(AUTHORITY_SECRET, namespace)
    live = await api.get(ref)
    if live is None:
        fresh = make_authority(hub_id, now)
        try:
            live = await api.create(
                _manifest(ref, {CERTIFICATE: fresh.certificate, KEY: fresh.key}, immutable=True)
            )
        except errors.AlreadyExists:
            # Another operator made it in this moment; its authority is the one.
            live = await api.get(ref)
    found = _pair(live or {})
    try:
        if ends_at(found) <= now:
            raise CertificateUnreadable("it has ended")
    except CertificateUnreadable as error:
        raise IdentityUnreadable(
            f"{ref} has no usable authority ({error}); restore it from the backup, or delete it to "
            "begin anew (clusters that are not connected then cannot be asked by others, and "
            "cannot ask, until they are)"
        ) from error
    return found


async def keep_leaf(
    api: Api, namespace: str, cluster: str, hub_id: str, signer: Pair, now: datetime.datetime
) -> Issued:
    """Have a cluster's gateway have a certificate, renewed before it ends.

    Args:
        api: The cluster's.
        namespace: The operator's, there as here.
        cluster: The ModelCluster.
        hub_id: The installation.
        signer: Its authority.
        now: The time.

    Raises:
        ApiError: The Secret could not be read or written.
        CertificateUnreadable: The authority is damaged.
    """
    identity = gateway_identity(cluster, hub_id)
    held = await held_leaf(api, namespace)
    leaf = held.leaf
    why = why_renew(leaf, signer.certificate, identity, now)
    if why is None and held.trusted != signer.certificate:
        why = "it lacks its authority"
    if why is not None:
        leaf = make_leaf(signer, identity, now)
        await hold_leaf(api, namespace, Held(leaf=leaf, trusted=signer.certificate))
        _LOG.info(
            "the gateway of cluster %s has a new certificate: %s",
            cluster,
            why,
            extra={"cluster": cluster},
        )
    return Issued(authority=ends_at(signer), leaf=ends_at(leaf))


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the gateway of a cluster has."""

    leaf: Pair
    """Empty where there is none."""
    trusted: bytes
    """The certificate of the authority that it believes."""


async def held_leaf(api: Api, namespace: str) -> Held:
    """Return what a cluster's gateway has.

    Raises:
        ApiError: It could not be read.
    """
    live = await api.get(SECRETS.ref(TLS_SECRET, namespace)) or {}
    return Held(leaf=_pair(live), trusted=_entry(live, TRUSTED))


async def hold_leaf(api: Api, namespace: str, held: Held) -> None:
    """Have a cluster's gateway have this.

    Raises:
        ApiError: It could not be written.
    """
    entries = {CERTIFICATE: held.leaf.certificate, KEY: held.leaf.key, TRUSTED: held.trusted}
    await api.apply(_manifest(SECRETS.ref(TLS_SECRET, namespace), entries, immutable=False))


def _manifest(ref: Ref, entries: Mapping[str, bytes], *, immutable: bool) -> dict[str, Any]:
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": {
            "name": ref.name,
            "namespace": ref.namespace,
            "labels": {LABEL_MANAGED_BY: MANAGER},
        },
        "type": "kubernetes.io/tls",
        "immutable": immutable,
        "data": {name: base64.b64encode(text).decode() for name, text in entries.items()},
    }


def _pair(secret: Mapping[str, Any]) -> Pair:
    return Pair(certificate=_entry(secret, CERTIFICATE), key=_entry(secret, KEY))


def _entry(secret: Mapping[str, Any], key: str) -> bytes:
    try:
        return base64.b64decode((secret.get("data") or {}).get(key, ""), validate=True)
    except binascii.Error:
        return b""
