"""`slm` against a cluster, by a kubeconfig: what it reads, and one module for each command.

What speaks to the API server (`clusters`, and so aiohttp and the Kubernetes client) is imported
where it is used, so that `slm --help` starts fast.
"""
