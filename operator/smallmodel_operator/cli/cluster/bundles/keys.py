"""What each side signs its files with, and checks the other's: two Secrets."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from smallmodel_operator.api.names import BUNDLE_MEMBER
from smallmodel_operator.cli.cluster.fleet import Hub
from smallmodel_operator.cli.cluster.session import Session
from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.plan.pools.values import Manifest

if TYPE_CHECKING:
    from smallmodel_operator.clusters.signing import SigningKey

_HUB_KEY: Final = "hubKey"
_MEMBER_KEY: Final = "memberKey"
_SERIAL: Final = "serial"
_TRUSTED: Final = "trustedKey"
_OWN: Final = "signingKey"
_HUB_ID: Final = "hubID"
_CLUSTER: Final = "cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubKeys:
    """What the hub has for one cluster of mode Bundle.

    Attributes:
        own: Signs files for the cluster.
        member: Signs the cluster's own. The hub made it, and kept it to give it out again.
        serial: Of the last file for the cluster.
        version: The Secret's.
    """

    own: "SigningKey"
    member: "SigningKey"
    serial: int
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberKeys:
    """What a cluster of mode Bundle has.

    Attributes:
        hub_id: Its hub.
        cluster: What the hub calls it.
        trusted: Checks the hub's files.
        own: Signs its own.
    """

    hub_id: str
    cluster: str
    trusted: str
    own: "SigningKey"


def hub_secret(cluster: str) -> str:
    """Return the name of the hub's Secret for a cluster."""
    return f"{BUNDLE_MEMBER}-{cluster}"


async def read_hub_keys(hub: Hub, cluster: str) -> HubKeys | None:
    """Return what the hub has for a cluster; None: nothing.

    Raises:
        ApiError: It could not be read.
        CommandError: It is no longer what `slm cluster join` made.
    """
    from smallmodel_operator.clusters.ref import SECRETS
    from smallmodel_operator.clusters.signing import SigningKey

    ref = SECRETS.ref(hub_secret(cluster), hub.namespace)
    found = await hub.session.api.get(ref)
    if found is None:
        return None
    values = _decoded(found, str(ref), (_HUB_KEY, _MEMBER_KEY))
    serial = values.get(_SERIAL, "0")
    return HubKeys(
        own=SigningKey(values[_HUB_KEY]),
        member=SigningKey(values[_MEMBER_KEY]),
        serial=int(serial) if serial.isdecimal() else 0,
        version=found["metadata"]["resourceVersion"],
    )


async def make_hub_keys(hub: Hub, cluster: str) -> HubKeys:
    """Return what the hub has for a cluster, made now if there is nothing.

    Raises:
        ApiError: It could not be read or made.
        CommandError: It is no longer what `slm cluster join` made.
    """
    from smallmodel_operator.clusters.signing import SigningKey

    known = await read_hub_keys(hub, cluster)
    if known is not None:
        return known
    own, member = SigningKey.make(), SigningKey.make()
    data = {_HUB_KEY: own.private, _MEMBER_KEY: member.private, _SERIAL: "0"}
    made = await hub.session.api.create(hub.secret(hub_secret(cluster), _as_bytes(data)))
    version = made["metadata"]["resourceVersion"]
    return HubKeys(own=own, member=member, serial=0, version=version)


async def keep_serial(hub: Hub, cluster: str, keys: HubKeys, serial: int) -> None:
    """Keep the serial of a file before it is given out, so that no two have the same.

    Raises:
        ApiError: It could not be kept; `Conflict` where somebody exports at the same moment.
    """
    from smallmodel_operator.clusters.ref import SECRETS

    patch: Manifest = {
        "metadata": {"resourceVersion": keys.version},
        "data": {_SERIAL: _encoded(str(serial))},
    }
    await hub.session.api.merge_patch(SECRETS.ref(hub_secret(cluster), hub.namespace), patch)


def member_secret(hub: Hub, cluster: str, keys: HubKeys) -> Manifest:
    """Return what is to be applied in the cluster."""
    texts = {
        _HUB_ID: hub.hub_id,
        _CLUSTER: cluster,
        _TRUSTED: keys.own.public,
        _OWN: keys.member.private,
    }
    return hub.secret(BUNDLE_MEMBER, _as_bytes(texts))


async def read_member_keys(session: Session, namespace: str) -> MemberKeys:
    """Return what a cluster has.

    Raises:
        ApiError: It could not be read.
        CommandError: It has nothing, or what it has was changed.
    """
    from smallmodel_operator.clusters.ref import SECRETS
    from smallmodel_operator.clusters.signing import SigningKey

    ref = SECRETS.ref(BUNDLE_MEMBER, namespace)
    found = await session.api.get(ref)
    if found is None:
        raise CommandError(
            f"this cluster has no {ref}, with which files of its hub are checked; `slm cluster "
            "join NAME --mode bundle --secret-file FILE` on the hub writes it, and `kubectl apply "
            "-f FILE` here takes it",
            ExitCode.NOT_FOUND,
        )
    values = _decoded(found, str(ref), (_HUB_ID, _CLUSTER, _TRUSTED, _OWN))
    return MemberKeys(
        hub_id=values[_HUB_ID],
        cluster=values[_CLUSTER],
        trusted=values[_TRUSTED],
        own=SigningKey(values[_OWN]),
    )


def _as_bytes(texts: Mapping[str, str]) -> dict[str, bytes]:
    return {key: text.encode() for key, text in texts.items()}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decoded(secret: Manifest, what: str, needed: tuple[str, ...]) -> dict[str, str]:
    data = secret.get("data") or {}
    try:
        values = {key: base64.b64decode(text, validate=True).decode() for key, text in data.items()}
    except (binascii.Error, UnicodeDecodeError):
        values = {}
    missing = [key for key in needed if not values.get(key)]
    if missing:
        raise CommandError(
            f"{what} has no usable {', '.join(missing)}, which `slm cluster join NAME --mode "
            "bundle` on the hub writes; restore it from the backup, or delete it and join again"
        )
    return values
