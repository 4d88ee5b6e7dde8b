"""What the agent tells Prometheus."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Info, generate_latest


class AgentMetrics:
    """The agent's metrics, in a registry of their own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._taken_at: float | None = None
        self._registry = CollectorRegistry()
        self._version = Info(
            "smallmodel_gateway_snapshot", "The snapshot in use.", registry=self._registry
        )
        age = Gauge(
            "smallmodel_gateway_snapshot_age_seconds",
            "Since this agent took the snapshot in use.",
            registry=self._registry,
        )
        age.set_function(self._age)
        self._connected = Gauge(
            "smallmodel_gateway_watch_connected",
            "1 while the API server tells of changes.",
            registry=self._registry,
        )
        self._errors = Counter(
            "smallmodel_gateway_watch_errors",
            "Watches that ended in an error.",
            ["reason"],
            registry=self._registry,
        )
        self._refused = Counter(
            "smallmodel_gateway_snapshots_refused",
            "Snapshots that were not taken.",
            ["reason"],
            registry=self._registry,
        )
        self._restart_needed = Gauge(
            "smallmodel_gateway_restart_needed",
            "1 while there is a newer bootstrap, which only another Envoy takes.",
            registry=self._registry,
        )

    def taken(self, version: str) -> None:
        """Count a snapshot that is now in use."""
        self._taken_at = self._clock()
        self._version.info({"version": version})

    def refused(self, reason: str) -> None:
        """Count a snapshot that was not taken."""
        self._refused.labels(reason=reason).inc()

    def watch_failed(self, reason: str) -> None:
        """Count a watch that failed."""
        self._errors.labels(reason=reason).inc()

    def connected(self, connected: bool) -> None:
        """Note whether a watch is open."""
        self._connected.set(connected)

    def restart_needed(self, needed: bool) -> None:
        """Note whether the bootstrap has changed since Envoy read it."""
        self._restart_needed.set(needed)

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self._registry)

    def _age(self) -> float:
        return float("nan") if self._taken_at is None else self._clock() - self._taken_at
