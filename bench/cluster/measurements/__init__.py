"""Everything that is measured on a control plane, in the order in which it runs."""

from typing import Final

from bench.cluster.measurements import life
from bench.plan import Measurement

MEASUREMENTS: Final[tuple[Measurement, ...]] = (life.MEASUREMENT,)
