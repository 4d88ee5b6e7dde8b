"""Whether the operator's memory grows with the changes that it has seen."""

import asyncio
from dataclasses import dataclass
from typing import Final

from bench.cluster.thousand import NAMESPACE, Installed, settled
from bench.plan import Bench

CHANGES: Final = 600
WARM_UP: Final = 100
A_SECOND: Final = 10
SPREAD: Final = 50

_MIB: Final = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Churn:
    """RSS of the operator in MiB, each once nothing was written any more."""

    before: float
    """After the first changes."""
    after: float
    """After all."""

    @property
    def growth(self) -> float:
        """In per cent."""
        return 100 * (self.after - self.before) / self.before


async def churn(bench: Bench, installed: Installed) -> Churn:
    """Change a few models again and again."""
    plane, operator = installed.plane, installed.operator
    before, changes = 0.0, max(WARM_UP + 1, bench.amount(CHANGES))
    for number in range(changes):
        if number == WARM_UP:
            await settled(operator)
            before = operator.rss() / _MIB
        name = installed.names[number % min(SPREAD, len(installed.names))]
        replicas = 3 + (number // SPREAD) % 3
        await plane.change_model(NAMESPACE, name, {"scaling": {"maxReplicas": replicas}})
        await asyncio.sleep(1 / A_SECOND)
    await settled(operator)
    return Churn(before=before, after=operator.rss() / _MIB)
