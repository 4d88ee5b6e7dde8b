"""What runs in each pod of a cluster's gateway: Envoy's start, the agent beside it, and its drain.

The agent carries files from a ConfigMap to Envoy and nothing else: it is not in the data path, and
decides nothing about routes. It must never leave Envoy with fewer files than it found.
"""
