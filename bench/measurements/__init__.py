"""Everything that is measured, in the order in which it runs."""

from typing import Final

from bench.measurements import (
    cycles,
    latency,
    memory,
    start,
    threads,
    throughput,
    tokens,
    validate,
    wake,
)
from bench.plan import Measurement

MEASUREMENTS: Final[tuple[Measurement, ...]] = (
    validate.MEASUREMENT,
    start.MEASUREMENT,
    memory.MEASUREMENT,
    latency.MEASUREMENT,
    throughput.MEASUREMENT,
    tokens.MEASUREMENT,
    threads.MEASUREMENT,
    wake.MEASUREMENT,
    cycles.MEASUREMENT,
)
