"""The project's own path with an engine that answers at once: what the path itself costs."""
