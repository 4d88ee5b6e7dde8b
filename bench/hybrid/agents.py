"""The agents of simulated clusters, all in one process: `python -m bench.hybrid.agents FILE`.

Each is the agent as its own process would have it. The file says of which clusters; `ready` is
printed once all of them have read their cluster and the hub.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from bench.children import program, until
from bench.cluster.operator_process import SYSTEM
from bench.hybrid.fleet import HUB_ID, Fleet
from bench.plan import Bench
from smallmodel_operator.agent_settings import AgentSettings
from smallmodel_operator.api.base import ApiModel
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.credentials import read_kubeconfig
from smallmodel_operator.clusters.identity import cluster_uid, token_key
from smallmodel_operator.handlers.agent import Agent
from smallmodel_operator.local.processes import end_with_parent
from smallmodel_operator.settings import Settings

_READY_SECONDS: Final = 100.0


class AgentsFile(ApiModel):
    """Which agents run."""

    hub_kubeconfig: Path
    clusters: dict[str, str]
    """Kubeconfigs, by the names of ModelClusters."""


@contextlib.asynccontextmanager
async def agents(bench: Bench, fleet: Fleet) -> AsyncIterator[int]:
    """Run an agent for each member of a fleet, and give the id of their process.

    Raises:
        ChildError: They did not come up.
    """
    folder = bench.new_folder("agents")
    file = AgentsFile(
        hub_kubeconfig=fleet.plane.kubeconfig,
        clusters={member.name: member.kubeconfig().decode() for member in fleet.members},
    )
    path = folder / "agents.json"
    path.write_text(file.model_dump_json(by_alias=True), encoding="utf-8")
    async with program("bench.hybrid.agents", str(path), log=folder / "agents.log") as (pid, _):
        yield pid


async def _run(file: AgentsFile) -> None:
    made = [await _agent(name, text, file) for name, text in file.clusters.items()]
    async with asyncio.TaskGroup() as group:
        for agent in made:
            group.create_task(agent.run())
        await until(
            lambda: all(agent.is_synced and agent.hub_is_read() for agent in made),
            "all agents have read their clusters and the hub",
            _READY_SECONDS,
        )
        print("ready", flush=True)


async def _agent(name: str, kubeconfig: str, file: AgentsFile) -> Agent:
    api = Api.of(read_kubeconfig(kubeconfig.encode(), f"The kubeconfig of {name}"))
    return Agent(
        api=api,
        settings=Settings(namespace=SYSTEM, serving_cpu_image="example.invalid/serving-cpu:bench"),
        agent=AgentSettings(cluster_name=name, hub_id=HUB_ID, hub_kubeconfig=file.hub_kubeconfig),
        cluster_uid=await cluster_uid(api),
        token_key=await token_key(api, SYSTEM),
    )


if __name__ == "__main__":
    end_with_parent()
    asyncio.run(_run(AgentsFile.model_validate_json(Path(sys.argv[1]).read_bytes())))
