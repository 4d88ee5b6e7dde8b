"""Everything that is measured on a control plane, in the order in which it runs."""

from typing import Final

from bench.cluster.measurements import changes, churn, cold
from bench.plan import Measurement

MEASUREMENTS: Final[tuple[Measurement, ...]] = (
    cold.MEASUREMENT,
    changes.MEASUREMENT,
    churn.MEASUREMENT,
)
