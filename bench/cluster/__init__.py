"""Measurements of the operator on a real API server; see `python -m bench.cluster`."""
