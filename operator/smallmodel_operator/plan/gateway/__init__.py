"""The gateway's configuration: Envoy in front of Serve, as the one base URL of all models.

The listener is static; only routes and clusters change while it runs, so models come and go
without dropping a connection. Nothing here reaches Serve but requests to models.
"""
