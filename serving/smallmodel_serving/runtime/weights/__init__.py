"""Weights: fetched once into a cache, checked before first use, opened only when verified.

`python -m smallmodel_serving.runtime.fetch` is the only writer of the cache. A replica reads it
through `verify.open_verified`. Nothing here may import Ray or an engine.
"""
