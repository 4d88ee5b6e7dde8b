"""The Serve applications, the engines behind them, and the weights that they open.

No Kubernetes and no decision about where a model runs. One process per replica; requests are
relayed to the engine's own HTTP server and never pass through a Serve handle.
"""
