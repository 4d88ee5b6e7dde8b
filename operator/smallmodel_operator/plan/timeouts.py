"""Every time limit of the path from gateway to engine, from one place, so that they agree.

The order in which they end is what matters. The model's own `requestTimeout` ends first, in Serve,
which knows the reason. The gateway comes a little later, and only for a Serve that does not
answer. HAProxy comes last: its hard stop cuts streams that a reload left in an old process.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Final

from smallmodel_operator.api.base import seconds
from smallmodel_operator.plan.pool import PlannedModel

REQUEST_TIMEOUT_FLOOR: Final = 600.0
"""Serve cannot change its timeouts while it runs, so it leaves room for models added later."""

GATEWAY_GRACE: Final = 5.0
"""Seconds by which the gateway waits longer than Serve, whose answer has the better reason."""

HARD_STOP_MARGIN: Final = 30
"""Seconds by which HAProxy's hard stop lies after the longest request."""

PORT_MARGIN: Final = 30
"""Seconds between HAProxy's hard stop and the next use of a replica's port (Ray's own margin)."""

LOCAL_DRAIN: Final = 5.0
"""One HAProxy on the same machine learns it within its reload, which takes under a second."""

CLUSTER_DRAIN: Final = 30.0
"""HAProxies of other nodes learn it from Serve's controller, which may be busy (Ray's default)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackTimeouts:
    """The limits that hold for one Serve instance from its start to its end, in seconds."""

    request: float
    """The longest `requestTimeout` of any model."""
    drain: float
    """The least time that a stopping replica goes on to serve."""

    @property
    def hard_stop(self) -> int:
        """When HAProxy ends what a reload left in an old process."""
        return ceil(self.request) + HARD_STOP_MARGIN

    @property
    def port_quarantine(self) -> int:
        """How long the port of a stopped replica stays unused."""
        return self.hard_stop + PORT_MARGIN


@dataclass(frozen=True, slots=True, kw_only=True)
class StackPorts:
    """The ports of one Serve instance; Ray's defaults collide between two on one machine."""

    frontend: int
    """HAProxy's frontend: the one upstream of the gateway."""
    haproxy_stats: int
    haproxy_metrics: int
    fallback_http: int
    """Serve's proxy for requests that are held at zero replicas."""
    fallback_grpc: int
    replica_http_first: int
    replica_http_last: int
    replica_grpc_first: int
    """Reserved beside each replica's HTTP port; nothing listens there."""
    replica_grpc_last: int
    ray_metrics: int
    """Ray's exporter for Prometheus; `ray.init` takes it as an argument."""


POD_PORTS: Final = StackPorts(
    frontend=8000,
    haproxy_stats=8404,
    haproxy_metrics=9101,
    fallback_http=8500,
    fallback_grpc=9500,
    replica_http_first=30000,
    replica_http_last=30999,
    replica_grpc_first=40000,
    replica_grpc_last=40999,
    ray_metrics=8080,
)
"""In a pod nothing else listens, so these are Ray's defaults and those that KubeRay expects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackPaths:
    """Where HAProxy keeps its files. A Unix socket's whole path may have 107 bytes."""

    folder: str

    @property
    def config(self) -> str:
        """HAProxy's configuration."""
        return f"{self.folder}/haproxy.cfg"

    @property
    def admin_socket(self) -> str:
        """HAProxy's admin socket, through which `_index` ends held requests."""
        return f"{self.folder}/admin.sock"

    @property
    def server_state(self) -> str:
        """What HAProxy knows of its servers, kept over a reload."""
        return f"{self.folder}/server-state"

    @property
    def metrics_socket(self) -> str:
        """Where HAProxy logs what becomes metrics."""
        return f"{self.folder}/metrics.sock"


def stack_timeouts(models: Iterable[PlannedModel], *, drain: float) -> StackTimeouts:
    """Return the limits that hold for all of these models, and for those added later."""
    longest = [request_timeout(model) for model in models]
    return StackTimeouts(request=max([REQUEST_TIMEOUT_FLOOR, *longest]), drain=drain)


def request_timeout(model: PlannedModel) -> float:
    """Return the longest that one request to the model may take, in seconds."""
    return seconds(model.scaling.request_timeout)


def gateway_idle_timeout(request_seconds: float) -> float:
    """Return how long the gateway waits for a byte of a model with that `requestTimeout`."""
    return request_seconds + GATEWAY_GRACE


def shutdown_timeout(model: PlannedModel, timeouts: StackTimeouts) -> float:
    """Return how long a stopping replica may go on with the requests that it has."""
    return timeouts.drain + request_timeout(model)


def serve_environment(
    ports: StackPorts, paths: StackPaths, timeouts: StackTimeouts, *, haproxy_threads: int = 1
) -> tuple[tuple[str, str], ...]:
    """Return the environment variables that one Serve instance needs, sorted by name.

    Ray reads them on import, so they have to be set before. The names are those of
    `ray/serve/_private/constants.py` in Ray 2.60.
    """
    numbers = {
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": ports.replica_grpc_last,
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": ports.replica_http_last,
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": timeouts.drain,
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": ports.replica_grpc_first,
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": ports.replica_http_first,
        "RAY_SERVE_ENABLE_HA_PROXY": 1,
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": ports.fallback_grpc,
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": ports.fallback_http,
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": timeouts.hard_stop,
        "RAY_SERVE_HAPROXY_METRICS_PORT": ports.haproxy_metrics,
        "RAY_SERVE_HAPROXY_NBTHREAD": haproxy_threads,
        "RAY_SERVE_HAPROXY_STATS_PORT": ports.haproxy_stats,
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": timeouts.hard_stop,
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": timeouts.hard_stop,
        "RAY_SERVE_PORT_QUARANTINE_S": timeouts.port_quarantine,
        # A model's application never blocks its event loop. In a loop of its own each chunk would
        # cross two threads, which took a third of an idle application's throughput.
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": 0,
    }
    texts = {
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": paths.config,
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": paths.metrics_socket,
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": paths.folder,
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": paths.server_state,
        "RAY_SERVE_HAPROXY_SOCKET_PATH": paths.admin_socket,
        # Answers requests that are held for a model of which no replica comes up.
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "smallmodel_serving.runtime.guard:middlewares",
    }
    variables = texts | {name: str(number) for name, number in numbers.items()}
    return tuple(sorted(variables.items()))
