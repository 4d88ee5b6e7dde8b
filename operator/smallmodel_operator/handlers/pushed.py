"""The link to a cluster whose API server the hub calls: credentials, and canaries."""

import base64
import binascii
import logging
from typing import Final

from smallmodel_operator.api.modelcluster import LinkState, ModelCluster
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.credentials import (
    Credentials,
    KubeconfigRefused,
    read_kubeconfig,
)
from smallmodel_operator.clusters.ref import SECRETS
from smallmodel_operator.clusters.refusals import Answer
from smallmodel_operator.clusters.requests import Request
from smallmodel_operator.clusters.wire import Send
from smallmodel_operator.handlers.canary import LIMITS, send_canary
from smallmodel_operator.handlers.link import Hub, Link, Objection, Peers
from smallmodel_operator.status.link import Canary, Failure

_LOG: Final = logging.getLogger(__name__)


class PushedLink(Link):
    """One of mode Push."""

    def __init__(self, cluster: ModelCluster, hub: Hub, peers: Peers, objection: Objection) -> None:
        super().__init__(cluster, hub, peers, objection)
        self._credentials: Credentials | None = None
        self._prober: Api | None = None
        self._api: Api | None = None
        self._served_by: Credentials | None = None

    async def _canary(self) -> Canary | None:
        """Return what came of a canary; None: the hub itself did not let one be sent."""
        try:
            refused = await self._read_credentials()
        except errors.ApiError as error:
            _LOG.warning("the kubeconfig of cluster %s could not be read: %s", self.name, error)
            refused = None
        if refused is not None:
            return Canary(failure=refused)
        if self._prober is None:
            return None
        return await send_canary(
            self._prober,
            self._hub.name,
            self._hub.clock,
            lambda uid: self._objection(self, uid),
        )

    async def _read_credentials(self) -> Failure | None:
        """Have the client of the canaries use what the Secret says now.

        Returns:
            Why it cannot be used. Whoever works on the cluster goes on with the credentials from
            before, until that was so for as long as any failure.

        Raises:
            ApiError: The hub could not read it.
        """
        wanted = self.cluster.spec.connection.kubeconfig_secret_ref
        assert wanted is not None  # noqa: S101 - mode Push has one
        ref = SECRETS.ref(wanted.name, self._hub.name.namespace)
        secret = await self._hub.api.get(ref)
        content = _decoded(((secret or {}).get("data") or {}).get(wanted.key))
        if content is None:
            what = f"has no key {wanted.key}" if secret is not None else "is not there"
            return Failure(
                LinkState.CREDENTIAL_ERROR,
                Reason.KUBECONFIG_MISSING,
                f"{ref} {what}, and spec.connection.kubeconfigSecretRef names it; make it, for "
                f"example by `slm cluster join {self.name}`",
            )
        try:
            credentials = read_kubeconfig(content, f"The kubeconfig in {ref} ({wanted.key})")
        except KubeconfigRefused as error:
            return Failure(LinkState.CREDENTIAL_ERROR, Reason.KUBECONFIG_REFUSED, str(error))
        if self._prober is None:
            self._prober = Api.of(credentials, limits=LIMITS)
        elif credentials != self._credentials:
            self._prober.renew(credentials, limits=LIMITS)
        self._credentials = credentials
        return None

    def _open(self) -> None:
        assert self._credentials is not None  # noqa: S101 - a canary was just sent with them
        if self._api is None:
            self._api = Api.of(self._credentials, around=self._through)
        elif self._served_by != self._credentials:
            self._api.renew(self._credentials)
            _LOG.info("cluster %s is called with new credentials", self.name)
        self._served_by = self._credentials
        if not self.is_open:
            self.is_open = True
            self._peers.connected(self.name, self._api)

    def _shut(self) -> None:
        if self.is_open:
            self.is_open = False
            self._peers.disconnected(self.name)

    async def _through(self, request: Request, send: Send) -> Answer:
        """Send a call of whoever works on the cluster, unless it is known to be in vain."""
        if not self.is_open:
            raise errors.Unreachable(
                f"{request.what}: cluster {self.name} is {self.state or 'not connected'}, and is "
                "not called before it answers again"
            )
        return await send(request)

    async def _close(self) -> None:
        for api in filter(None, (self._prober, self._api)):
            await api.close()
        self._prober = self._api = self._credentials = self._served_by = None


def _decoded(text: object) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except binascii.Error:
        return None
