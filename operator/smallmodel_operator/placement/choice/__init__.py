"""Choosing among clusters: the law first, then physics, then money, then calm.

The values here are filled by whoever looks: what administrators declare of a cluster and what was
seen of it become `Facts`, data and what binds it become `Read` and `Law`, and how a model would
run in a cluster becomes a `Fit`, which `placement.cluster` finds. With one cluster of which
nothing is declared the choice is that cluster, or none.
"""
