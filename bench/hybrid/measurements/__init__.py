"""Everything that is measured of many clusters, in the order in which it runs."""

from typing import Final

from bench.hybrid.measurements import cold, cut, deciding, idle, pulling, pushing, replay
from bench.plan import Measurement

MEASUREMENTS: Final[tuple[Measurement, ...]] = (
    deciding.MEASUREMENT,
    replay.MEASUREMENT,
    pushing.MEASUREMENT,
    pulling.MEASUREMENT,
    cold.MEASUREMENT,
    idle.MEASUREMENT,
    cut.MEASUREMENT,
)
