"""Everything that is measured of many clusters, in the order in which it runs."""

from typing import Final

from bench.hybrid.measurements import deciding
from bench.plan import Measurement

MEASUREMENTS: Final[tuple[Measurement, ...]] = (deciding.MEASUREMENT,)
