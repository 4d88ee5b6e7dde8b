"""vLLM in this process: its own OpenAI application, on loopback, in a thread of its own.

vLLM is imported only when an engine starts. Its arguments are parsed by its own parser, so what
holds on a command line holds here.
"""

import asyncio
import contextlib
import multiprocessing
import os
import re
import socket
import threading
from concurrent.futures import Future
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, Final

from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import ModelArgs, VllmArgs
from smallmodel_serving.runtime.engine import EngineError, check_weights
from smallmodel_serving.runtime.turns import Turn

_REAP_SECONDS: Final = 5.0
"""A killed process is gone in milliseconds."""
_SHARED_MEMORY: Final = re.compile(r" /dev/shm/(psm_\S+)$", re.MULTILINE)
"""Shared memory in a process's maps, by the name that Python gave it."""


class VllmEngine:
    """One folder of safetensors, served by vLLM's OpenAI application.

    vLLM gets a thread and an event loop of its own: what blocks there never holds up the relay.
    """

    def __init__(
        self, args: ModelArgs, options: VllmArgs, turn: Turn = contextlib.nullcontext
    ) -> None:
        """Make it; it starts later.

        Args:
            args: The model's.
            options: vLLM's own.
            turn: What a start is done in, so that no other engine of the device starts meanwhile.
        """
        self._args = args
        self._options = options
        self._turn = turn
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._client: Any = None
        self._address = ""
        self._naps = False
        self._napping = False

    @property
    def address(self) -> str:
        """Base URL of vLLM's server."""
        return self._address

    @property
    def threads(self) -> int | None:
        """None: vLLM binds its threads by itself."""
        return None

    def start(self, others_awake: int) -> None:
        """Load the weights, or bring them back from the host's memory.

        Raises:
            EngineError: The weights are not the verified ones, or vLLM refused them.
        """
        with self._turn():
            self._start()

    def _start(self) -> None:
        if self._napping:
            self._call(self._client.wake_up())
            self._napping = False
            return
        check_weights(Path(self._args.weights), self._args.sha256)
        os.environ.update(self._options.environment)
        ready: Future[None] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._live(ready)), name="vllm", daemon=True
        )
        self._thread.start()
        try:
            ready.result()
        except EngineError:
            raise
        except ImportError as error:
            raise EngineError(
                Reason.ENGINE_NOT_INSTALLED, f"vLLM cannot be imported here: {error}"
            ) from error
        except (Exception, SystemExit) as error:
            raise EngineError(Reason.LOAD_FAILED, f"vLLM could not load it: {error}") from error

    def sleep(self) -> None:
        """Move the weights to the host's memory where vLLM can (a GPU, `--enable-sleep-mode`).

        Elsewhere the engine ends, and its next start is a load.
        """
        if not self._naps:
            self.stop()
            return
        self._call(self._client.sleep(level=1))
        self._napping = True

    def stop(self) -> None:
        """End vLLM's server and its engine process."""
        thread, loop, end = self._thread, self._loop, self._end
        self._thread = self._loop = self._end = self._client = None
        self._napping = False
        if thread is not None and loop is not None and end is not None:
            # The loop is closed where the engine died and its server ended with it.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(end.set)
            thread.join()

    def alive(self) -> bool:
        """Return False when vLLM's engine process or its server died."""
        thread, client = self._thread, self._client
        return thread is None or client is None or (thread.is_alive() and not client.errored)

    def _call(self, work: Any) -> None:
        if self._loop is None:
            raise EngineError(Reason.ENGINE_DIED, "vLLM is not running.")
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _live(self, ready: "Future[None]") -> None:
        try:
            await self._serve(ready)
        except BaseException as error:
            if ready.done():
                raise
            # Whoever started us gets it, also where vLLM exits as a command would.
            ready.set_exception(error)

    async def _serve(self, ready: "Future[None]") -> None:
        import uvicorn
        from vllm.entrypoints.launchers.api_server.app_state import init_app_state
        from vllm.entrypoints.launchers.api_server.entry import build_async_engine_client
        from vllm.entrypoints.launchers.app import build_app
        from vllm.entrypoints.launchers.launcher import NoSignalServer

        arguments = parse_arguments(self._args, self._options)
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        async with build_async_engine_client(arguments) as client:
            tasks = await client.get_supported_tasks()
            app = build_app(arguments, tasks, client.model_config)
            await init_app_state(client, app.state, arguments, tasks)
            with socket.socket() as listening:
                listening.bind(("127.0.0.1", 0))
                config = uvicorn.Config(app, log_level="warning", access_log=False)
                server = NoSignalServer(config)
                # vLLM's own error handlers end this server when the engine died.
                app.state.server = server
                serving = asyncio.create_task(server.serve(sockets=[listening]))
                while not server.started and not serving.done():
                    await asyncio.sleep(0.01)
                self._address = f"http://127.0.0.1:{listening.getsockname()[1]}"
                self._client = client
                self._naps = arguments.enable_sleep_mode
                ready.set_result(None)
                ending = asyncio.create_task(self._end.wait())
                await asyncio.wait((serving, ending), return_when=asyncio.FIRST_COMPLETED)
                server.should_exit = True
                await serving
            _end_processes(client)


def _end_processes(client: Any) -> None:
    """Kill vLLM's processes, and free the memory that they share.

    Told to end by themselves they take 12 seconds on two cores (0.32 waits 9 for a worker that
    never ends), and a request that needs the memory waits 10. Killed, they leave their shared
    memory behind for as long as this process lives.
    """
    children = multiprocessing.active_children()
    maps = "".join(_maps_of(child.pid) for child in children)
    client.shutdown(timeout=0)
    for child in children:
        child.join(timeout=_REAP_SECONDS)
    for name in sorted(set(_SHARED_MEMORY.findall(maps))):
        with contextlib.suppress(FileNotFoundError):
            left = SharedMemory(name)
            left.close()
            left.unlink()


def _maps_of(pid: int | None) -> str:
    try:
        return Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    except OSError:
        # It died, and the memory that it shared goes with this process.
        return ""


def parse_arguments(args: ModelArgs, options: VllmArgs) -> Any:
    """Return the arguments as vLLM's own parser and checks take them.

    Raises:
        EngineError: The parser refused them.
    """
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = make_arg_parser(FlexibleArgumentParser())
    line = [*options.arguments, f"--model={args.weights}", "--host=127.0.0.1"]
    try:
        parsed = parser.parse_args(line)
        validate_parsed_serve_args(parsed)
    except (SystemExit, ValueError, TypeError) as error:
        raise EngineError(
            Reason.ENGINE_ARG_REFUSED, f"vLLM refused its arguments {line}: {error}"
        ) from error
    return parsed
