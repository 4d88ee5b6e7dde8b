"""Pairs of requests from inside a pod's network: `python -m bench.cluster.pairs SETTINGS`.

Prints one line of JSON.
"""

import asyncio
import sys

from bench.client import Client
from bench.measurements.latency import pairs
from bench.slm_up import engine_url
from smallmodel_operator.api.base import ApiModel
from smallmodel_operator.local.processes import end_with_parent


class PairSettings(ApiModel):
    """Whom to ask, and how often."""

    gateway: str
    """The base URL of the namespace's endpoint."""
    replica: int
    """The process whose engine is asked directly; its network is that of this process."""
    pairs: int


class PairTimes(ApiModel):
    """Milliseconds of each pair."""

    gateway: tuple[float, ...]
    engine: tuple[float, ...]


async def _run(settings: PairSettings) -> PairTimes:
    through, direct = Client(settings.gateway), Client(await engine_url(settings.replica))
    gateway, engine = await pairs(through, direct, settings.pairs)
    through.close()
    direct.close()
    return PairTimes(gateway=tuple(gateway), engine=tuple(engine))


if __name__ == "__main__":
    end_with_parent()
    times = asyncio.run(_run(PairSettings.model_validate_json(sys.argv[1])))
    print(times.model_dump_json(), flush=True)
