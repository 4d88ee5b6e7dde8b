"""Gateways of clusters that know each other: real Envoys, real certificates, mock pools."""

import datetime
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import aiohttp

from smallmodel_operator.api.names import gateway_identity
from smallmodel_operator.clusters.certificates import Pair, make_authority, make_leaf
from smallmodel_operator.gateway.admin import EnvoyAdmin
from smallmodel_operator.gateway.agent import Agent
from smallmodel_operator.gateway.certificates import Certificates
from smallmodel_operator.gateway.metrics import AgentMetrics
from smallmodel_operator.plan.gateway.cluster import build_cluster_gateway
from smallmodel_operator.plan.gateway.cluster_values import NamespaceRoutes, Peer
from smallmodel_operator.plan.gateway.config_map import gateway_config_map
from smallmodel_operator.plan.gateway.peers import PEERS_HOST
from support.mock_upstream import MockUpstream
from support.running_cluster_gateway import ClusterGateway, settings_for
from support.running_gateway import Reply

HUB: Final = "hub-1"
NOW: Final = datetime.datetime.now(datetime.UTC)
AUTHORITY: Final = make_authority(HUB, NOW)
OTHER_AUTHORITY: Final = make_authority("hub-2", NOW)


class Site:
    """One cluster: its gateway, the agent beside it, and the front of its one pool."""

    def __init__(self, name: str, folder: Path, **settings: Any) -> None:
        self.name = name
        self.folder = folder
        folder.mkdir()
        self.gateway = ClusterGateway(folder, settings_for(folder, **settings))
        self.pool = MockUpstream()
        self._known: tuple[str, ...] = ()
        self._admin = EnvoyAdmin(f"http://127.0.0.1:{self.gateway.settings.admin.port}")
        self._agent = Agent(self.gateway.files, self._admin, AgentMetrics())
        self._certificates = Certificates(
            folder / "tls", Path(self.gateway.settings.certificates_folder)
        )

    @property
    def peer(self) -> Peer:
        """It, as another gateway knows it."""
        identity = gateway_identity(self.name, HUB)
        return Peer(cluster=self.name, address=self.gateway.settings.peers, identity=identity)

    def certify(self, leaf: Pair | None = None, signer: Pair = AUTHORITY) -> Pair:
        """Give it a certificate, as the mounted Secret does."""
        leaf = leaf or make_leaf(signer, gateway_identity(self.name, HUB), NOW)
        (self.folder / "tls").mkdir(exist_ok=True)
        for name, text in (
            ("tls.crt", leaf.certificate),
            ("tls.key", leaf.key),
            ("ca.crt", signer.certificate),
        ):
            (self.folder / "tls" / name).write_bytes(text)
        self._certificates.keep()
        return leaf

    async def start(self, known: Iterable["Site"], *namespaces: NamespaceRoutes) -> None:
        """Start all; gateways of these sites may ask it."""
        self._known = tuple(gateway_identity(site.name, HUB) for site in known)
        await self.pool.start()
        self.certify()
        self.gateway.files.write(self._config(namespaces))
        assert self._agent.start(self.folder / "seed")
        await self.gateway.start()

    async def lead(self, *namespaces: NamespaceRoutes) -> None:
        """Have requests led so from now on, as the agent does it."""
        config_map = gateway_config_map(self._config(namespaces), "smallmodel-system")
        await self._agent.take(config_map)

    def _config(self, namespaces: tuple[NamespaceRoutes, ...]) -> Any:
        return build_cluster_gateway(namespaces, self.gateway.settings, self._known)

    async def stop(self) -> None:
        """End all."""
        await self.gateway.stop()
        await self.pool.stop()
        await self._admin.close()

    async def asked_as(
        self, leaf: Pair | None, folder: Path, *, host: str = PEERS_HOST, path: str = ""
    ) -> Reply:
        """Ask as another gateway would, with that certificate or none.

        Raises:
            aiohttp.ClientError: The gateway lets nobody in who shows that.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if leaf is not None:
            shown = folder / "shown.pem"
            shown.write_bytes(leaf.certificate + leaf.key)
            context.load_cert_chain(shown)
        url = f"https://127.0.0.1:{self.gateway.settings.peers.port}"
        async with (
            aiohttp.ClientSession() as client,
            client.post(
                url + (path or "/team-a/chat/v1/chat/completions"),
                json={"model": "chat"},
                headers={"host": host},
                ssl=context,
            ) as answer,
        ):
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return Reply(answer.status, headers, await answer.read())

    def shown_certificate(self) -> bytes:
        """The certificate that new connections are shown, as PEM."""
        port = self.gateway.settings.peers.port
        return ssl.get_server_certificate(("127.0.0.1", port)).encode()
