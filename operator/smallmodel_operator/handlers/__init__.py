"""From events to work: what kopf sees feeds the stores, and keyed queues call the loops.

Thin: parse, observe, decide, apply, report. Nothing is decided here that `reconcile` could decide,
and only `clusters` talks to an API server.
"""
