"""The agent's one task: what the ConfigMap says becomes what Envoy uses, or nothing changes."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from smallmodel_operator.gateway.admin import EnvoyAdmin, EnvoyState
from smallmodel_operator.gateway.files import GatewayFiles, read_seed
from smallmodel_operator.gateway.metrics import AgentMetrics
from smallmodel_operator.plan.gateway.config_map import (
    InvalidSnapshot,
    contract_of,
    entries_of,
    read_snapshot,
    snapshot_version,
)
from smallmodel_operator.plan.gateway.document import discovery_json
from smallmodel_operator.plan.gateway.values import DiscoveryFile, GatewayConfig

_POLL_SECONDS: Final = 0.02
_WARM_SECONDS: Final = 2.0
"""New pools' addresses are looked up meanwhile. A name that cannot be looked up holds up nobody."""

_TAKE_SECONDS: Final = 5.0

_log: Final = logging.getLogger(__name__)


class Agent:
    """Keeps one Envoy's files."""

    def __init__(self, files: GatewayFiles, admin: EnvoyAdmin, metrics: AgentMetrics) -> None:
        self._files = files
        self._admin = admin
        self._metrics = metrics
        self._current: GatewayConfig | None = None
        self._good: GatewayConfig | None = None
        """What Envoy is known to use."""
        self._refused: str | None = None
        """The version that Envoy refused last, which need not be tried again."""
        self._said = ""

    @property
    def ready(self) -> bool:
        """Whether Envoy has files to start with."""
        return self._current is not None

    @property
    def unconfirmed(self) -> bool:
        """Whether Envoy has yet to be seen to use the files."""
        return self._current is not None and self._current != self._good

    def start(self, seed: Path) -> bool:
        """Take what lies there, or else the mounted ConfigMap; return whether there was either.

        Raises:
            OSError: The folder cannot be written.
        """
        found = self._files.read()
        if found is None:
            try:
                found = read_seed(seed)
            except InvalidSnapshot as error:
                self._refuse("Invalid", f"the ConfigMap mounted at {seed} is not used: {error}")
            if found is not None:
                self._files.write(found)
        if found is not None:
            self._taken(found)
        return found is not None

    async def take(self, config_map: Mapping[str, Any]) -> None:
        """Have Envoy use what the ConfigMap says; keep what it uses where that is not possible.

        Raises:
            OSError: The folder cannot be written.
        """
        try:
            config = read_snapshot(entries_of(config_map))
        except InvalidSnapshot as error:
            self._refuse("Invalid", f"the ConfigMap is not used: {error}")
            return
        if self._current is None:
            self._files.write(config)
            self._taken(config)
            return
        self._metrics.restart_needed(config.bootstrap != self._current.bootstrap)
        # Envoy keeps the bootstrap that it started with.
        wanted = GatewayConfig(
            bootstrap=self._current.bootstrap, routes=config.routes, clusters=config.clusters
        )
        version = snapshot_version(wanted)
        if wanted == self._current or version == self._refused:
            return
        ours, theirs = contract_of(wanted.bootstrap), contract_of(config.bootstrap)
        if ours != theirs:
            self._refuse(
                "Contract",
                f"the routes are of contract {theirs} and this Envoy started with {ours}; restart "
                "the gateway's pods",
            )
            return
        await self._replace(self._current, wanted)

    async def confirm(self) -> None:
        """See whether Envoy uses the files by now, and put the good ones back if it refused them.

        Raises:
            OSError: The folder cannot be written.
        """
        state, current = await self._admin.state(), self._current
        if state is None or current is None:
            return
        if _uses(state, current):
            self._good = current
        elif state.clusters_rejected or state.routes_rejected:
            self._roll_back(current)

    async def _replace(self, old: GatewayConfig, new: GatewayConfig) -> None:
        before = await self._admin.state()
        if before is None:
            # There is nobody to be careful with; it will start with these.
            self._files.write_clusters(new.clusters)
            self._files.write_routes(new.routes)
            self._taken(new)
            return
        if _uses(before, old):
            self._good = old
        # New pools come before the routes to them, old ones go after.
        both = _both(old.clusters, new.clusters)
        self._files.write_clusters(both)
        await self._wait(
            lambda now: (
                (now.clusters == both.version and not now.warming)
                or now.clusters_rejected > before.clusters_rejected
            ),
            _WARM_SECONDS,
        )
        self._files.write_routes(new.routes)
        await self._wait(
            lambda now: (
                now.routes == new.routes.version or now.routes_rejected > before.routes_rejected
            ),
            _TAKE_SECONDS,
        )
        if both != new.clusters:
            self._files.write_clusters(new.clusters)
        after = await self._wait(
            lambda now: _uses(now, new) or _rejected(before, now), _TAKE_SECONDS
        )
        if after is not None and _uses(after, new):
            self._good = new
        elif after is not None and _rejected(before, after):
            self._roll_back(new)
            return
        self._taken(new)

    async def _wait(
        self, condition: Callable[[EnvoyState], bool], within: float
    ) -> EnvoyState | None:
        """Return Envoy's state when it fulfils the condition, or its last one; None if it left."""
        until = time.monotonic() + within
        while (state := await self._admin.state()) is not None:
            if condition(state) or time.monotonic() > until:
                return state
            await asyncio.sleep(_POLL_SECONDS)
        return None

    def _roll_back(self, refused: GatewayConfig) -> None:
        version = snapshot_version(refused)
        self._refused = version
        self._refuse("Rejected", f"Envoy refused version {version}; its log says why")
        if self._good is not None:
            self._files.write_clusters(self._good.clusters)
            self._files.write_routes(self._good.routes)
            self._current = self._good

    def _taken(self, config: GatewayConfig) -> None:
        self._current = config
        version = snapshot_version(config)
        self._metrics.taken(version)
        _log.info("version %s is in use", version)

    def _refuse(self, reason: str, message: str) -> None:
        self._metrics.refused(reason)
        # The mounted ConfigMap is looked at again and again, and said once.
        if message != self._said:
            _log.error("%s; what was there stays in use", message)
        self._said = message


def _uses(state: EnvoyState, config: GatewayConfig) -> bool:
    return (state.clusters, state.routes) == (config.clusters.version, config.routes.version)


def _rejected(before: EnvoyState, now: EnvoyState) -> bool:
    return (
        now.clusters_rejected > before.clusters_rejected
        or now.routes_rejected > before.routes_rejected
    )


def _both(old: DiscoveryFile, new: DiscoveryFile) -> DiscoveryFile:
    """Return the new clusters, and those old ones that have no new one of their name."""
    clusters = {cluster["name"]: cluster for cluster in _clusters(old)}
    merged = clusters | {cluster["name"]: cluster for cluster in _clusters(new)}
    if len(merged) == len(_clusters(new)):
        return new
    return discovery_json([merged[name] for name in sorted(merged)])


def _clusters(file: DiscoveryFile) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(file.text)["resources"]
    return found
