"""llama.cpp in this process, by xllamacpp, with its own HTTP server on loopback."""

import ctypes
import gc
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import xllamacpp

from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import LlamaCppArgs, ModelArgs
from smallmodel_serving.runtime.engine import EngineError, check_weights
from smallmodel_serving.runtime.threads import engine_threads, usable_cores

# A line is `0.00.020.957 E llama_model_load: error loading model: ...`.
_ERROR_LINE: Final = re.compile(r"^[0-9.]+ E +(?:[^:\n]+: )(.+)$", re.MULTILINE)


class LlamaCppEngine:
    """One GGUF file, served by llama.cpp's HTTP server in this process."""

    def __init__(self, args: ModelArgs, options: LlamaCppArgs) -> None:
        self._name = args.name
        self._task = args.task
        self._weights = Path(args.weights)
        self._sha256 = args.sha256
        self._options = options
        self._server: Any = None
        self._threads: int | None = None
        self._address = ""

    @property
    def address(self) -> str:
        """Base URL of llama.cpp's server."""
        return self._address

    @property
    def threads(self) -> int | None:
        """Threads that compute."""
        return self._threads

    def start(self, others_awake: int) -> None:
        """Load the file.

        Raises:
            EngineError: The file is not the verified one, or llama.cpp refused it or an argument.
        """
        check_weights(self._weights, self._sha256)
        threads = engine_threads(
            wanted=self._options.threads, cores=usable_cores(), others_awake=others_awake
        )
        params = self._params(threads)
        log = LogTail()
        try:
            self._server = xllamacpp.Server(params)
        except (RuntimeError, ValueError) as error:
            told = "; ".join(log.errors()) or str(error)
            raise EngineError(
                Reason.LOAD_FAILED, f"llama.cpp could not load {self._weights.name}: {told}"
            ) from error
        self._threads = threads
        self._address = self._server.listening_address

    def sleep(self) -> None:
        """Destroy the server, and give the freed pages back to the system."""
        self._server = None
        self._threads = None
        gc.collect()
        # glibc keeps freed arenas: 520 MiB stay 300 without this, and fall to 45 with it.
        ctypes.CDLL(None).malloc_trim(0)

    def stop(self) -> None:
        """End for good, which is the same."""
        self.sleep()

    def alive(self) -> bool:
        """Return True: the engine dies only together with this process."""
        return True

    def _params(self, threads: int) -> Any:
        params = xllamacpp.CommonParams()
        params.model.path = str(self._weights)
        params.model_alias = {self._name}
        params.n_ctx = self._options.context_length * self._options.slots
        params.n_parallel = self._options.slots
        params.cpuparams.n_threads = threads
        params.cpuparams_batch.n_threads = threads
        # The prompt cache in RAM (8 GiB by default) is no part of what sizing admitted.
        params.cache_ram_mib = 0
        # Sizing decides what fits, not the loader.
        params.fit_params = False
        # A first request warms up just as well, and a wake is a load.
        params.warmup = False
        params.endpoint_metrics = True
        # Per request, llama.cpp logs ten lines at its default level 3; 2 is warnings.
        params.verbosity = 2
        if self._task is Task.EMBEDDING:
            # The pooling is the file's own: `pooling_type` stays unspecified.
            params.embedding = True
            # An encoder sees a text in one piece, so a batch has to hold the longest.
            params.n_ubatch = max(params.n_ubatch, self._options.context_length)
            params.n_batch = max(params.n_batch, params.n_ubatch)
        apply_options(params, self._options.options)
        return params


class LogTail:
    """What llama.cpp logs from here on, where the standard error of this process is a file.

    llama.cpp tells the cause of a failed load only there, and Ray writes it to a file.
    """

    def __init__(self) -> None:
        try:
            is_file = stat.S_ISREG(os.fstat(2).st_mode)
            self._from = os.fstat(2).st_size if is_file else None
        except OSError:
            self._from = None

    def errors(self) -> tuple[str, ...]:
        """Return the first error lines, without time and origin."""
        if self._from is None:
            return ()
        with open("/proc/self/fd/2", "rb") as log:
            log.seek(self._from)
            text = log.read(65536).decode(errors="replace")
        return tuple(_ERROR_LINE.findall(text)[:2])


def apply_options(params: Any, options: dict[str, str]) -> None:
    """Set the user's options, by llama.cpp's own names, on xllamacpp's parameters.

    Raises:
        EngineError: An option has no place there, or a value is not of its type. The catalogue
            refuses both before; this is what a newer operator meets in an older image.
    """
    for name, value in sorted(options.items()):
        try:
            _OPTIONS[name](params, value)
        except (KeyError, ValueError) as error:
            known = ", ".join(sorted(_OPTIONS))
            raise EngineError(
                Reason.ENGINE_ARG_REFUSED,
                f"llama.cpp's option {name}={value!r} cannot be set here; known are {known}.",
            ) from error


def _set_batch(params: Any, value: str) -> None:
    params.n_batch = int(value)


def _set_ubatch(params: Any, value: str) -> None:
    params.n_ubatch = int(value)


def _set_cache_k(params: Any, value: str) -> None:
    params.cache_type_k = _KV_TYPES[value]


def _set_cache_v(params: Any, value: str) -> None:
    params.cache_type_v = _KV_TYPES[value]


def _set_reasoning(params: Any, value: str) -> None:
    params.reasoning_format = _REASONING[value]


def _set_chat_template(params: Any, value: str) -> None:
    params.chat_template = value


def _set_slots(params: Any, value: str) -> None:
    # The planner counted it into `slots`, from which the context was made: they must agree.
    if int(value) != params.n_parallel:
        raise ValueError(f"parallel is {value}, and the slots are {params.n_parallel}")


_KV_TYPES: Final = {
    "f32": xllamacpp.ggml_type.GGML_TYPE_F32,
    "f16": xllamacpp.ggml_type.GGML_TYPE_F16,
    "bf16": xllamacpp.ggml_type.GGML_TYPE_BF16,
    "q8_0": xllamacpp.ggml_type.GGML_TYPE_Q8_0,
    "q4_0": xllamacpp.ggml_type.GGML_TYPE_Q4_0,
}
_REASONING: Final = {
    "none": xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_NONE,
    "auto": xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_AUTO,
    "deepseek": xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_DEEPSEEK,
}
_OPTIONS: Final[dict[str, Callable[[Any, str], None]]] = {
    "batch-size": _set_batch,
    "cache-type-k": _set_cache_k,
    "cache-type-v": _set_cache_v,
    "chat-template": _set_chat_template,
    "parallel": _set_slots,
    "reasoning-format": _set_reasoning,
    "ubatch-size": _set_ubatch,
}
