"""llama.cpp in this process, by xllamacpp, with its own HTTP server on loopback."""

import ctypes
import gc
from pathlib import Path
from typing import Any, Final

from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import LlamaCppArgs
from smallmodel_serving.runtime.engine import EngineError

# GGUF files begin with this: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
_GGUF_MAGIC: Final = b"GGUF"


class LlamaCppEngine:
    """One GGUF file, served by llama.cpp's HTTP server in this process."""

    def __init__(
        self, *, name: str, task: Task, weights: Path, args: LlamaCppArgs, threads: int
    ) -> None:
        self._name = name
        self._task = task
        self._weights = weights
        self._args = args
        self._threads = threads
        self._server: Any = None
        self._address = ""

    @property
    def address(self) -> str:
        """Base URL of llama.cpp's server."""
        return self._address

    @property
    def threads(self) -> int:
        """Threads that compute."""
        return self._threads

    def start(self) -> None:
        """Load the file.

        Raises:
            EngineError: The file is missing, is no GGUF, or llama.cpp refused it.
        """
        check_gguf(self._weights)
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(self._weights)
        params.model_alias = {self._name}
        params.n_ctx = self._args.context_length * self._args.slots
        params.n_parallel = self._args.slots
        # The prompt cache in RAM (8 GiB by default) is no part of what sizing admitted.
        params.cache_ram_mib = 0
        # Sizing decides what fits, not the loader.
        params.fit_params = False
        params.warmup = False
        params.endpoint_metrics = True
        params.cpuparams.n_threads = self._threads
        params.cpuparams_batch.n_threads = self._threads
        if self._task is Task.EMBEDDING:
            params.embedding = True
        try:
            self._server = xllamacpp.Server(params)
        except (RuntimeError, ValueError) as error:
            raise EngineError(
                Reason.LOAD_FAILED, f"llama.cpp could not load {self._weights.name}: {error}"
            ) from error
        self._address = self._server.listening_address

    def stop(self) -> None:
        """Destroy the server, and give the freed pages back to the system."""
        self._server = None
        gc.collect()
        # glibc keeps freed arenas: 520 MiB stay 300 without this, and fall to 45 with it.
        ctypes.CDLL(None).malloc_trim(0)

    def alive(self) -> bool:
        """Return True: the engine dies only together with this process."""
        return True


def check_gguf(weights: Path) -> None:
    """Check that the file is there and begins as a GGUF file does.

    Raises:
        EngineError: It is not, or does not.
    """
    try:
        with weights.open("rb") as file:
            magic = file.read(len(_GGUF_MAGIC))
    except OSError as error:
        raise EngineError(
            Reason.WEIGHTS_MISSING,
            f"{weights} cannot be read ({error.strerror}); fetch the weights again.",
        ) from error
    if magic != _GGUF_MAGIC:
        raise EngineError(
            Reason.LOAD_FAILED,
            f"{weights} begins with {magic!r}, and a GGUF file with {_GGUF_MAGIC!r}.",
        )
