"""The ways into a cluster that the hub calls: a kubeconfig in a Secret, or a ClusterProfile."""

import base64
import binascii
import logging
from dataclasses import dataclass, replace
from typing import Final, Protocol

from smallmodel_operator.api.modelcluster import (
    ClusterProfileRef,
    KubeconfigSecretRef,
    LinkState,
    ModelCluster,
)
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.credentials import (
    Credentials,
    KubeconfigReader,
    KubeconfigRefused,
)
from smallmodel_operator.clusters.plugins import PluginFailed, Token
from smallmodel_operator.clusters.profiles import Access, ProfileRefused, read_profile
from smallmodel_operator.clusters.ref import CLUSTERPROFILES, SECRETS
from smallmodel_operator.handlers.link import Hub
from smallmodel_operator.status.link import Failure

_LOG: Final = logging.getLogger(__name__)


class Way(Protocol):
    """Where the credentials for one cluster come from."""

    async def read(self) -> Credentials | Failure:
        """Return the credentials as they are now, or why there are none.

        Raises:
            ApiError: The hub could not read what it needs.
        """
        ...

    def refuse(self) -> None:
        """Be told that the cluster did not know the last ones."""
        ...


def way_to(cluster: ModelCluster, hub: Hub) -> Way:
    """Return the way that a ModelCluster of mode Push declares."""
    connection = cluster.spec.connection
    if connection.cluster_profile_ref is not None:
        return ProfileWay(connection.cluster_profile_ref, hub)
    assert connection.kubeconfig_secret_ref is not None  # noqa: S101 - mode Push has one of the two
    return SecretWay(connection.kubeconfig_secret_ref, hub, cluster.metadata.name)


class SecretWay:
    """A kubeconfig in a Secret."""

    def __init__(self, wanted: KubeconfigSecretRef, hub: Hub, cluster: str) -> None:
        self._wanted = wanted
        self._hub = hub
        self._cluster = cluster
        self._reader = KubeconfigReader()

    async def read(self) -> Credentials | Failure:
        """Return what the Secret says now.

        Raises:
            ApiError: The hub could not read it.
        """
        ref = SECRETS.ref(self._wanted.name, self._hub.name.namespace)
        secret = await self._hub.api.get(ref)
        content = _decoded(((secret or {}).get("data") or {}).get(self._wanted.key))
        if content is None:
            what = f"has no key {self._wanted.key}" if secret is not None else "is not there"
            return _failure(
                Reason.KUBECONFIG_MISSING,
                f"{ref} {what}, and spec.connection.kubeconfigSecretRef names it; make it, for "
                f"example by `slm cluster join {self._cluster}`",
            )
        try:
            return self._reader.read(content, f"The kubeconfig in {ref} ({self._wanted.key})")
        except KubeconfigRefused as error:
            return _failure(Reason.KUBECONFIG_REFUSED, str(error))

    def refuse(self) -> None:
        """Do nothing: the Secret is read each time."""
        return


@dataclass(frozen=True, slots=True)
class _Held:
    """A token, and what it was given for."""

    access: Access
    token: Token


class ProfileWay:
    """A ClusterProfile, and a program of the administrator's that gives tokens for its cluster."""

    def __init__(self, wanted: ClusterProfileRef, hub: Hub) -> None:
        self._ref = CLUSTERPROFILES.ref(wanted.name, wanted.namespace)
        self._hub = hub
        self._held: _Held | None = None

    async def read(self) -> Credentials | Failure:
        """Return what the profile says now, with a token that has not expired.

        Raises:
            ApiError: The hub could not read the profile.
        """
        providers = self._hub.providers
        if not providers:
            # The chart grants no right to read profiles then, either.
            return _failure(
                Reason.CLUSTER_PROFILE_REFUSED,
                "The operator was installed with no credential provider, and "
                f"spec.connection.clusterProfileRef names {self._ref}, which needs one; list it in "
                "the chart's clusters.credentialProviders",
            )
        try:
            profile = await self._hub.api.get(self._ref)
        except errors.ApiMissing:
            return _failure(
                Reason.CLUSTER_PROFILE_MISSING,
                f"The hub does not know the kind {CLUSTERPROFILES.full_name}/"
                f"{CLUSTERPROFILES.version}, and spec.connection.clusterProfileRef names "
                f"{self._ref}; install its CRD, or use kubeconfigSecretRef",
            )
        if profile is None:
            return _failure(
                Reason.CLUSTER_PROFILE_MISSING,
                f"{self._ref} is not there, and spec.connection.clusterProfileRef names it; "
                "correct the name, or have your cluster manager make it",
            )
        try:
            access = read_profile(profile, providers)
            token = await self._token(access)
        except ProfileRefused as error:
            return _failure(Reason.CLUSTER_PROFILE_REFUSED, str(error))
        except PluginFailed as error:
            return _failure(Reason.CREDENTIAL_PLUGIN_FAILED, str(error))
        return replace(access.where, token=token.text)

    def refuse(self) -> None:
        """Let go of the token, which its cluster did not know."""
        self._held = None

    async def _token(self, access: Access) -> Token:
        now = self._hub.clock.now()
        held = self._held.token if self._held and self._held.access == access else None
        if held is not None and (held.renew_at is None or now < held.renew_at):
            return held
        try:
            token = await self._hub.plugins.ask(access, now)
        except PluginFailed as error:
            if held is None or held.expires_at is None or held.expires_at <= now:
                raise
            _LOG.warning("%s; the token from before is used until it expires", error)
            return held
        self._held = _Held(access, token)
        return token


def _failure(reason: Reason, message: str) -> Failure:
    return Failure(LinkState.CREDENTIAL_ERROR, reason, message)


def _decoded(text: object) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except binascii.Error:
        return None
