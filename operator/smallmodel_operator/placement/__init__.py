"""A resolved model and a machine become a placement: what runs there, or why nothing can.

Pure: values in, values out. May import `api` and `catalog` only. `cluster` says how a model would
run in one cluster, `choice` which of several it should, `among` puts the two together; `place` is
for one machine without Kubernetes.
"""
