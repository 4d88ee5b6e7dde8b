"""What Envoy's admin page, on the pod's loopback, says of its configuration."""

from dataclasses import dataclass
from typing import Final

import aiohttp

from smallmodel_operator.plan.gateway.bootstrap import STAT_PREFIX
from smallmodel_operator.plan.gateway.routes import ROUTE_TABLE

_CLUSTERS: Final = "cluster_manager.cds"
_ROUTES: Final = f"http.{STAT_PREFIX}.rds.{ROUTE_TABLE}"
_WARMING: Final = "cluster_manager.warming_clusters"
_ASKED: Final = f"^(({_CLUSTERS}|{_ROUTES}).(version_text|update_rejected)|{_WARMING})$".replace(
    ".", r"\."
)
_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyState:
    """Which versions Envoy uses, and how many it has refused since its start."""

    clusters: str
    routes: str
    clusters_rejected: int
    routes_rejected: int
    warming: int
    """Clusters whose address is being looked up for the first time."""


class EnvoyAdmin:
    """A client of one Envoy's admin page."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def state(self) -> EnvoyState | None:
        """Return what Envoy uses, or None where it does not answer: it may be starting."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=_SECONDS)
            self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False)
        try:
            async with self._session.get(f"{self._url}/stats", params={"filter": _ASKED}) as answer:
                answer.raise_for_status()
                return _parsed(await answer.text())
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()


def _parsed(text: str) -> EnvoyState:
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(": ")
        found[name] = value.strip('"')
    return EnvoyState(
        clusters=found.get(f"{_CLUSTERS}.version_text", ""),
        routes=found.get(f"{_ROUTES}.version_text", ""),
        clusters_rejected=int(found.get(f"{_CLUSTERS}.update_rejected", 0)),
        routes_rejected=int(found.get(f"{_ROUTES}.update_rejected", 0)),
        warming=int(found.get(_WARMING, 0)),
    )
