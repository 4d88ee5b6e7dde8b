"""`python -m bench.hybrid`: measure how fast models are placed among many clusters."""

import sys

from bench.__main__ import main
from bench.hybrid.measurements import MEASUREMENTS
from bench.store import HYBRID_PAGE

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], MEASUREMENTS, HYBRID_PAGE))
