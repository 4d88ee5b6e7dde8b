"""From events to work: what kopf sees feeds the stores, and keyed queues call the loops.

Thin: parse, observe, decide, apply, report. What is decided, `reconcile` decides; what is written,
`clusters` writes.
"""
