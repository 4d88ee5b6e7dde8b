"""One machine without Kubernetes: the only room that runs an embedded Ray and Envoy.

I/O happens here: files, processes, ports, HTTP. Nothing is decided here that a pure room can
decide. The serving package is started by name and never imported.
"""
