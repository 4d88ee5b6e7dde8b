"""Placements become what is applied: the Serve config, the gateway's config, and the difference.

Pure: values in, values out; the same inputs give the same bytes. May import `api`, `catalog` and
`placement` only.
"""
