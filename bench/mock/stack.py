"""Envoy, HAProxy and a replica of the project, with a mock engine behind: a process of its own.

`python -m bench.mock.stack FOLDER PORT ENGINE_URL` prints `ready` when a request went through, or
why none did.
"""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

from bench.children import ROOT
from bench.client import Client, LostError, chat_body
from bench.slm_up import NAME
from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.api.serving import LlamaCppArgs, ModelArgs, ModelTuning
from smallmodel_operator.api.smallmodel import Scaling
from smallmodel_operator.local import processes, ray_serve
from smallmodel_operator.local.machine import observe_machine
from smallmodel_operator.local.paths import RunFolder, ScratchFolder
from smallmodel_operator.local.settings import RunSettings
from smallmodel_operator.local.stack import Stack
from smallmodel_operator.plan.gateway.values import gateway_models
from smallmodel_operator.plan.pool import PlannedModel, Pool
from smallmodel_operator.plan.serve import MODEL_IMPORT_PATH, build_serve_config, dump_serve_config

_IMPORT_PATH: Final = "bench.mock.application:build"
_ONGOING: Final = 128
"""More than the clients of the load, so that the path is measured and not its queue."""
_READY_SECONDS: Final = 60.0


class MockedStack(Stack):
    """The stack of `slm up`, whose applications are built with a mock engine."""

    async def apply_pool(self, pool: Pool) -> None:
        """Give Serve the whole pool."""
        config = dump_serve_config(build_serve_config(pool, self._front))
        mocked = config.replace(MODEL_IMPORT_PATH, _IMPORT_PATH)
        await self._in_ray(lambda: ray_serve.apply(mocked))


def _pool(engine_url: str) -> Pool:
    return Pool(
        models=(
            PlannedModel(
                name=NAME,
                args=ModelArgs(
                    name=NAME,
                    task=Task.CHAT,
                    weights=engine_url,
                    engine=LlamaCppArgs(context_length=4096, slots=_ONGOING),
                    memory_bytes=0,
                ),
                tuning=ModelTuning(
                    keep_awake=True, idle_timeout_seconds=3600, start_timeout_seconds=60
                ),
                scaling=Scaling(min_replicas=1, max_replicas=1),
                max_replicas=1,
                max_ongoing_requests=_ONGOING,
                target_ongoing_requests=_ONGOING,
                resting_memory_bytes=0,
            ),
        )
    )


async def _until_answered(url: str) -> str:
    """Return `ready` once a request went through, or what came instead."""
    end = time.monotonic() + _READY_SECONDS
    body = chat_body(NAME, "Hello", 1)
    said = "nothing"
    while time.monotonic() < end:
        client = Client(url)
        try:
            reply = await client.post("/chat/completions", body)
            if reply.status == 200:
                return "ready"
            said = f"{reply.status} {reply.body[:300].decode(errors='replace')}"
        except LostError as error:
            said = str(error)
        finally:
            client.close()
        await asyncio.sleep(0.1)
    return f"the mocked stack did not answer; last: {said}"


async def _main(folder: Path, port: int, engine_url: str) -> None:
    stop = asyncio.Event()
    settings = RunSettings(
        run_id="bench",
        state_folder=str(folder / "state"),
        scratch=str(folder),
        host="127.0.0.1",
        port=port,
        paths=(),
    )
    run = RunFolder(folder / "state")
    run.envoy.mkdir(parents=True)
    stack = MockedStack(settings, run, ScratchFolder(folder), observe_machine(None))
    for step in stack.steps():
        await step.start()
    # After Ray, whose own handlers replace those that were there and end the process at once.
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    pool = _pool(engine_url)
    await stack.apply_pool(pool)
    await stack.apply_gateway(gateway_models(pool))
    print(await _until_answered(stack.url), flush=True)
    await stop.wait()


if __name__ == "__main__":
    processes.adopt_orphans()
    processes.end_with_parent()
    # The replica's process imports `bench` too.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        path for path in (str(ROOT), os.environ.get("PYTHONPATH")) if path
    )
    try:
        asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
    finally:
        processes.kill_descendants()
    # Ray's own exit handlers would wait for processes that are already ended.
    os._exit(0)
