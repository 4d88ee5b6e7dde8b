"""The agent's process, in a cluster that its hub cannot call.

It needs no hub to start: a bad kubeconfig, or none, is told in its log, by its metrics and at
`/readyz`, and what is mirrored is served on.
"""

import os
import sys
from collections.abc import Iterable

from prometheus_client.core import Metric

from smallmodel_operator.agent_settings import AgentSettings
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.identity import cluster_uid, token_key
from smallmodel_operator.handlers.agent import Agent
from smallmodel_operator.handlers.agent_metrics import agent_measures
from smallmodel_operator.process import USAGE, program
from smallmodel_operator.settings import Settings, SettingsError


class Serving:
    """The agent, from when this replica leads."""

    def __init__(self, settings: Settings, agent: AgentSettings, api: Api) -> None:
        self._settings = settings
        self._of = agent
        self._api = api
        self._agent: Agent | None = None

    async def act(self) -> None:
        """Mirror and serve until cancelled.

        Raises:
            ApiError: The cluster's own API server does not say what is needed to begin.
        """
        self._agent = Agent(
            api=self._api,
            settings=self._settings,
            agent=self._of,
            cluster_uid=await cluster_uid(self._api),
            token_key=await token_key(self._api, self._settings.namespace),
        )
        await self._agent.run()

    def unready(self) -> str | None:
        """Return why this replica is not ready, or None; the hub is nothing to wait for."""
        if self._agent is not None and not self._agent.is_synced:
            return "the cluster's objects are being read"
        return None

    def remark(self) -> str | None:
        """Return why the hub is not called, or None."""
        problem = self._agent.line.problem if self._agent is not None else None
        return f"ok, without the hub: {problem}" if problem is not None else None

    def measures(self, *, leads: bool) -> Iterable[Metric]:
        """Return what Prometheus is told."""
        return agent_measures(self._api, self._agent, leads=leads)


def main() -> int:
    """Run the agent as the environment says; errors of settings are told without a traceback."""
    try:
        settings = Settings.from_environment(os.environ)
        agent = AgentSettings.from_environment(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return USAGE
    return program("agent", settings, lambda api, _: Serving(settings, agent, api))


if __name__ == "__main__":
    sys.exit(main())
