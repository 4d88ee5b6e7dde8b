"""Real Kubernetes: the only room that talks to an API server, and to Ray's dashboards.

I/O happens here. Nothing is decided here that a pure room can decide. `kubernetes` is imported
here and in the gateway's agent only; `kopf`, which watches, is imported above.
"""
