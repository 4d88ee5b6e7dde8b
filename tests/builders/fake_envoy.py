"""A fake of Envoy as the agent sees it: it uses what lies in its folder, and says so."""

import json
from collections.abc import Callable

from smallmodel_operator.gateway.admin import EnvoyAdmin, EnvoyState
from smallmodel_operator.gateway.files import GatewayFiles
from smallmodel_operator.plan.gateway.cluster_routes import CLIENTS


class FakeEnvoy(EnvoyAdmin):
    """Reads its files whenever it is asked for its state."""

    def __init__(self, files: GatewayFiles) -> None:
        super().__init__("http://127.0.0.1:1")
        self.files = files
        self.up = True
        self.refuses: Callable[[str], bool] = lambda routes: False
        """Whether it rejects routes with that text."""
        self.steps: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
        """Each pair that it used, as (clusters, clusters that routes lead to)."""
        self._state = EnvoyState(
            clusters="", routes="", clusters_rejected=0, routes_rejected=0, warming=0
        )
        self._seen = ""

    async def state(self) -> EnvoyState | None:
        """Take the files, and say what is in use."""
        if not self.up:
            return None
        clusters, routes = self.files.clusters.read_text(), self.files.routes.read_text()
        rejected, used = self._state.routes_rejected, self._state.routes
        if routes != self._seen and self.refuses(routes):
            rejected += 1
        elif not self.refuses(routes):
            used = json.loads(routes)["version_info"]
        self._seen = routes
        self._state = EnvoyState(
            clusters=json.loads(clusters)["version_info"],
            routes=used,
            clusters_rejected=0,
            routes_rejected=rejected,
            warming=0,
        )
        step = (_names(clusters), _targets(routes))
        if not self.steps or self.steps[-1] != step:
            self.steps.append(step)
        return self._state


def _names(clusters: str) -> tuple[str, ...]:
    return tuple(cluster["name"] for cluster in json.loads(clusters)["resources"])


def _targets(routes: str) -> tuple[str, ...]:
    hosts = json.loads(routes)["resources"][0]["virtual_hosts"]
    [host] = [one for one in hosts if one["name"] == CLIENTS]
    trees = host["matcher"]["matcher_tree"]["prefix_match_map"]["map"].values()
    found = {
        route["route"]["cluster"]
        for tree in trees
        for route in tree["action"]["typed_config"]["routes"]
        if "route" in route
    }
    return tuple(sorted(found))
