"""A real Serve with several applications; prints what clients saw as one line of JSON."""

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from threading import Thread
from typing import Any

import httpx

from smallmodel_operator.local.ports import take_block
from support.free_ports import free_port

START_TIMEOUT = 15


def environment(folder: Path) -> dict[str, str]:
    haproxy = folder / "h"
    haproxy.mkdir()
    replicas = take_block().replicas
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "x" * 40,
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(replicas.stop),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(replicas.start),
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "m.sock"),
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "state"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "a.sock"),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "smallmodel_serving.runtime.guard:middlewares",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray would let its workers starve beside whatever else the machine does.
        "RAY_worker_niceness": "0",
        "SMALLMODEL_NODE_DIR": str(folder / "node"),
        "SMALLMODEL_NODE_MEMORY": "600000000",
    }


def application(name: str, weights: str, **options: Any) -> dict[str, Any]:
    engine = {"kind": "LlamaCpp", "contextLength": 1024, "slots": 1, "threads": 1}
    args = {
        "name": name,
        "task": "Chat",
        "weights": weights,
        "engine": engine,
        "memoryBytes": 400_000_000,
    }
    return serve_application(
        name, "smallmodel_serving.runtime.application:build", args=args, **options
    )


def serve_application(
    name: str, path: str, *, args: dict[str, Any], **options: Any
) -> dict[str, Any]:
    scaling = {
        "min_replicas": 0,
        "initial_replicas": 0,
        "max_replicas": 1,
        "target_ongoing_requests": 50,
        "metrics_interval_s": 1,
        "look_back_period_s": 3,
        "downscale_to_zero_delay_s": 3600,
    }
    deployment = {
        "name": "Model",
        "max_ongoing_requests": 50,
        "max_constructor_retry_count": 1,
        "autoscaling_config": scaling,
        "ray_actor_options": {"num_cpus": 0.01},
        **options,
    }
    return {
        "name": name,
        "route_prefix": f"/{name}",
        "import_path": path,
        "args": args,
        "deployments": [deployment],
    }


def build_broken(args: dict[str, str]) -> Any:
    from ray import serve

    class Broken:
        def __init__(self) -> None:
            raise ImportError("no such library")

        def __call__(self) -> str:
            return "never"

    return serve.deployment(name="Model")(Broken).bind()


def ask(base: str, name: str) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": "Say hi."}], "max_tokens": 2}
    began = time.monotonic()
    response = httpx.post(f"{base}/{name}/v1/chat/completions", json=body, timeout=120)
    return {
        "status": response.status_code,
        "seconds": round(time.monotonic() - began, 1),
        "answer": response.json(),
    }


def main() -> None:
    folder, weights = Path(sys.argv[1]), sys.argv[2]
    os.environ.update(environment(folder))
    import ray
    from ray import serve
    from ray.serve.config import HTTPOptions
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=80_000_000,
        log_to_driver=False,
    )
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    serve.start(
        proxy_location="HeadOnly",
        http_options=HTTPOptions(host="127.0.0.1", port=port, request_timeout_s=120),
    )
    names = ("a", "b", "never", "broken", "missing")
    indexed = [{"name": name, "startTimeoutSeconds": START_TIMEOUT} for name in names]
    index = {
        "name": "_index",
        "route_prefix": "/-index",
        "import_path": "smallmodel_serving.runtime.index:build_index",
        "args": {},
        "deployments": [
            {
                "name": "Index",
                "user_config": {"models": indexed},
                "ray_actor_options": {"num_cpus": 0},
            }
        ],
    }
    applications = [
        index,
        application("a", weights),
        application("b", weights),
        application("never", weights, ray_actor_options={"num_cpus": 64}),
        serve_application("broken", "support.serve_program:build_broken", args={}),
        application("missing", str(folder / "nothing.gguf")),
    ]
    _get_global_client().deploy_apps(
        ServeDeploySchema.model_validate({"applications": applications})
    )
    deadline = time.monotonic() + 90
    while True:
        found = serve.status().applications
        if all(name in found and found[name].status == "RUNNING" for name in (*names, "_index")):
            break
        if time.monotonic() > deadline:
            sys.exit(f"the applications did not come up: {found}")
        time.sleep(0.2)
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{base}/-index/healthz", timeout=5).status_code == 200:
                break
        time.sleep(0.2)

    seen: dict[str, Any] = {}

    def hold(name: str) -> None:
        seen[name] = ask(base, name)

    held = [Thread(target=hold, args=(name,)) for name in ("never", "broken", "missing")]
    for thread in held:
        thread.start()
    for thread in held:
        thread.join()
    seen["turns"] = [ask(base, "ab"[turn % 2])["status"] for turn in range(8)]
    serve.shutdown()
    ray.shutdown()
    sys.stdout.write(f"{json.dumps(seen)}\n")


if __name__ == "__main__":
    main()
