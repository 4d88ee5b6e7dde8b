"""How soon a changed spec is in the RayService of a member."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Final

from bench.children import until
from bench.hybrid.fleet import NAMESPACE, Fleet, model_of
from bench.hybrid.simulated_member import SimulatedMember

A_SECOND: Final = 4
"""Changes, each of another member's model, whether or not those before arrived."""

_LEAST_REPLICAS: Final = 2
_WITHIN_SECONDS: Final = 60.0


async def change_all(
    fleet: Fleet, members: Sequence[SimulatedMember], turns: Sequence[int]
) -> list[float]:
    """Change the model of each member, and return the milliseconds until each was accepted.

    Args:
        fleet: The hub.
        members: Whose models are changed, in this order.
        turns: How often, and to what: in each turn they become others than in the one before.

    Raises:
        TimeoutError: One did not arrive.
    """
    loop = asyncio.get_running_loop()
    began, tasks = loop.time(), list[asyncio.Task[float]]()
    async with asyncio.TaskGroup() as group:
        for number, (turn, member) in enumerate(itertools.product(turns, members)):
            await asyncio.sleep(began + number / A_SECOND - loop.time())
            tasks.append(group.create_task(change(fleet, member, turn)))
    return [task.result() for task in tasks]


async def change(fleet: Fleet, member: SimulatedMember, turn: int) -> float:
    """Change the model of a member, and return the milliseconds until that was accepted.

    Raises:
        TimeoutError: It did not arrive.
    """
    began = time.perf_counter()
    await ask(fleet, member, turn)
    said = f'"max_replicas":{_replicas(turn)}'

    def accepted() -> list[float]:
        return [at for at, config in member.accepted if at > began and said in config]

    what = f"the change is in the pool of {member.name}"
    await until(lambda: bool(accepted()), what, _WITHIN_SECONDS)
    return 1000 * (accepted()[0] - began)


async def ask(fleet: Fleet, member: SimulatedMember, turn: int) -> None:
    """Change the model of a member, and wait for nothing."""
    spec = {"scaling": {"maxReplicas": _replicas(turn)}}
    await fleet.plane.change_model(NAMESPACE, model_of(member), spec)


def _replicas(turn: int) -> int:
    """Return another bound than in the turns before and after."""
    return _LEAST_REPLICAS + turn % 5
