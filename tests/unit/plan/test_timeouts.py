from hypothesis import given
from hypothesis import strategies as st

from builders.plan_values import planned_model
from smallmodel_operator.api.smallmodel import Scaling
from smallmodel_operator.plan.timeouts import (
    CLUSTER_DRAIN,
    LOCAL_DRAIN,
    POD_PORTS,
    REQUEST_TIMEOUT_FLOOR,
    StackPaths,
    StackPorts,
    StackTimeouts,
    gateway_idle_timeout,
    request_timeout,
    serve_environment,
    shutdown_timeout,
    stack_timeouts,
)

PORTS = StackPorts(
    frontend=1,
    haproxy_stats=2,
    haproxy_metrics=3,
    fallback_http=4,
    fallback_grpc=5,
    replica_http_first=10,
    replica_http_last=19,
    replica_grpc_first=20,
    replica_grpc_last=29,
    ray_metrics=6,
)


@given(st.lists(st.integers(min_value=1, max_value=100_000), max_size=5))
def test_serve_ends_a_request_first_then_the_gateway_and_haproxy_last(waits: list[int]) -> None:
    models = [planned_model(scaling=Scaling(request_timeout=f"{wait}s")) for wait in waits]
    timeouts = stack_timeouts(models, drain=5)

    assert timeouts.request >= REQUEST_TIMEOUT_FLOOR
    for model in models:
        own = request_timeout(model)
        assert own < gateway_idle_timeout(own) < timeouts.hard_stop < timeouts.port_quarantine
        assert own <= timeouts.request
        assert shutdown_timeout(model, timeouts) >= own + timeouts.drain


def test_every_port_and_path_of_serve_is_the_runs_own() -> None:
    timeouts = StackTimeouts(request=600.5, drain=5.0)

    assert serve_environment(PORTS, StackPaths(folder="/run/h"), timeouts) == (
        ("RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT", "29"),
        ("RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT", "19"),
        ("RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S", "5.0"),
        ("RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT", "20"),
        ("RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT", "10"),
        ("RAY_SERVE_ENABLE_HA_PROXY", "1"),
        ("RAY_SERVE_FALLBACK_PROXY_GRPC_PORT", "5"),
        ("RAY_SERVE_FALLBACK_PROXY_HTTP_PORT", "4"),
        ("RAY_SERVE_HAPROXY_CONFIG_FILE_LOC", "/run/h/haproxy.cfg"),
        ("RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S", "631"),
        ("RAY_SERVE_HAPROXY_METRICS_PORT", "3"),
        ("RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH", "/run/h/metrics.sock"),
        ("RAY_SERVE_HAPROXY_NBTHREAD", "1"),
        ("RAY_SERVE_HAPROXY_SERVER_STATE_BASE", "/run/h"),
        ("RAY_SERVE_HAPROXY_SERVER_STATE_FILE", "/run/h/server-state"),
        ("RAY_SERVE_HAPROXY_SOCKET_PATH", "/run/h/admin.sock"),
        ("RAY_SERVE_HAPROXY_STATS_PORT", "2"),
        ("RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S", "631"),
        ("RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S", "631"),
        (
            "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH",
            "smallmodel_serving.runtime.guard:middlewares",
        ),
        ("RAY_SERVE_PORT_QUARANTINE_S", "661"),
        ("RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD", "0"),
    )


def test_no_two_servers_of_a_pod_share_a_port() -> None:
    single = [
        POD_PORTS.frontend,
        POD_PORTS.haproxy_stats,
        POD_PORTS.haproxy_metrics,
        POD_PORTS.fallback_http,
        POD_PORTS.fallback_grpc,
        POD_PORTS.ray_metrics,
    ]
    ranges = [
        range(POD_PORTS.replica_http_first, POD_PORTS.replica_http_last + 1),
        range(POD_PORTS.replica_grpc_first, POD_PORTS.replica_grpc_last + 1),
    ]
    # GCS, Ray's client, the dashboard, and its agent.
    taken = [*single, 6379, 10001, 8265, 52365, *(port for each in ranges for port in each)]

    assert len(taken) == len(set(taken))
    assert not [port for port in taken if 10002 <= port <= 19999]


def test_a_replica_in_a_cluster_goes_on_longer_than_one_on_a_single_machine() -> None:
    assert CLUSTER_DRAIN > LOCAL_DRAIN
