"""`PYTHONPATH=tests python -m bench.cluster`: measure the operator on a real API server; root."""

import sys

from bench.__main__ import main
from bench.cluster.measurements import MEASUREMENTS
from bench.store import CLUSTER_PAGE

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], MEASUREMENTS, CLUSTER_PAGE))
