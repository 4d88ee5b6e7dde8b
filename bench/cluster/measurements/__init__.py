"""Everything that is measured on a cluster, in the order in which it runs."""

from typing import Final

from bench.cluster.measurements import (
    life,
    pool_cycles,
    pool_latency,
    pool_memory,
    pool_start,
    pool_wake,
)
from bench.plan import Measurement

MEASUREMENTS: Final[tuple[Measurement, ...]] = (
    life.MEASUREMENT,
    pool_start.MEASUREMENT,
    pool_wake.MEASUREMENT,
    pool_cycles.MEASUREMENT,
    pool_memory.MEASUREMENT,
    pool_latency.MEASUREMENT,
)
