"""What a replica measures, under the names that the field uses, with the prefix `smallmodel_`."""

import re
from typing import Final, Protocol

# vLLM's boundaries for the same names: `vllm/v1/metrics/loggers.py`.
_TTFT_BOUNDARIES: Final = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.5, 5, 10, 20, 40, 80]
_ITL_BOUNDARIES: Final = [0.002, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.4, 0.8, 2, 5]
_LOAD_BOUNDARIES: Final = [0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256]

# llama.cpp and vLLM count the same things under these names. A sample is `name{labels} value`.
_PROMPT: Final = frozenset(("llamacpp:prompt_tokens_total", "vllm:prompt_tokens_total"))
_GENERATED: Final = frozenset(("llamacpp:tokens_predicted_total", "vllm:generation_tokens_total"))
_SAMPLE: Final = re.compile(rb"^([A-Za-z_:][\w:]*)(?:\{[^}]*\})? ([0-9.eE+-]+)", re.MULTILINE)


class Instruments(Protocol):
    """Where measurements go."""

    def request(self, code: int) -> None:
        """A request ended with an HTTP status."""
        ...

    def stream(self, *, first_token: float, between_tokens: float | None) -> None:
        """A stream ended: seconds to its first token, and between its tokens on average."""
        ...

    def loaded(self, seconds: float) -> None:
        """The engine loaded."""
        ...

    def tokens(self, *, prompt: float, generated: float) -> None:
        """The engine read and wrote this many tokens more."""
        ...

    def level(self, *, waiting: int, running: int, awake: bool) -> None:
        """How many requests are held and run now, and whether the weights are in memory."""
        ...


class NoInstruments:
    """Measures nothing: outside Ray."""

    def request(self, code: int) -> None:
        """Do nothing."""

    def stream(self, *, first_token: float, between_tokens: float | None) -> None:
        """Do nothing."""

    def loaded(self, seconds: float) -> None:
        """Do nothing."""

    def tokens(self, *, prompt: float, generated: float) -> None:
        """Do nothing."""

    def level(self, *, waiting: int, running: int, awake: bool) -> None:
        """Do nothing."""


class RayInstruments:
    """Prometheus metrics through Ray's exporter, which adds `ray_` and the replica's labels.

    Ray exports a counter also under its name with `_total`, so names here have none.
    """

    def __init__(self, model: str) -> None:
        """Make them; only inside a Ray process."""
        from ray.serve import metrics

        # Serve writes its own tags into the dictionary that it is given, so each gets its own.
        tags = {"model": model}

        def counter(name: str, text: str, *keys: str) -> "metrics.Counter":
            made = metrics.Counter(
                f"smallmodel_{name}", description=text, tag_keys=("model", *keys)
            )
            made.set_default_tags(dict(tags))
            return made

        def gauge(name: str, text: str, *keys: str) -> "metrics.Gauge":
            made = metrics.Gauge(f"smallmodel_{name}", description=text, tag_keys=("model", *keys))
            made.set_default_tags(dict(tags))
            return made

        def histogram(name: str, text: str, boundaries: list[float]) -> "metrics.Histogram":
            made = metrics.Histogram(
                f"smallmodel_{name}", description=text, boundaries=boundaries, tag_keys=("model",)
            )
            made.set_default_tags(dict(tags))
            return made

        self._requests = counter("requests", "Requests by HTTP status.", "code")
        self._prompt = counter("prompt_tokens", "Tokens read.")
        self._generated = counter("generation_tokens", "Tokens written.")
        self._first = histogram(
            "time_to_first_token_seconds", "From request to first streamed byte.", _TTFT_BOUNDARIES
        )
        self._between = histogram(
            "inter_token_latency_seconds",
            "Between streamed tokens, mean of one stream.",
            _ITL_BOUNDARIES,
        )
        self._load = histogram("model_load_seconds", "Loading or waking.", _LOAD_BOUNDARIES)
        self._waiting = gauge("num_requests_waiting", "Requests held for the engine.")
        self._running = gauge("num_requests_running", "Requests that the engine works on.")
        self._sleep = gauge("engine_sleep_state", "1 for the state that the engine is in.", "state")

    def request(self, code: int) -> None:
        """Count a request."""
        self._requests.inc(tags={"code": str(code)})

    def stream(self, *, first_token: float, between_tokens: float | None) -> None:
        """Observe one stream."""
        self._first.observe(first_token)
        if between_tokens is not None:
            self._between.observe(between_tokens)

    def loaded(self, seconds: float) -> None:
        """Observe one load."""
        self._load.observe(seconds)

    def tokens(self, *, prompt: float, generated: float) -> None:
        """Count tokens; Ray refuses to add nothing."""
        if prompt > 0:
            self._prompt.inc(prompt)
        if generated > 0:
            self._generated.inc(generated)

    def level(self, *, waiting: int, running: int, awake: bool) -> None:
        """Set the gauges."""
        self._waiting.set(waiting)
        self._running.set(running)
        self._sleep.set(int(awake), tags={"state": "awake"})
        self._sleep.set(int(not awake), tags={"state": "asleep"})


def token_counts(exposition: bytes) -> tuple[float, float]:
    """Return the prompt and generation tokens in an engine's own Prometheus text.

    vLLM has one sample for each of its engine cores: they are added up.
    """
    prompt = generated = 0.0
    for name, value in _SAMPLE.findall(exposition):
        if name.decode() in _PROMPT:
            prompt += float(value)
        elif name.decode() in _GENERATED:
            generated += float(value)
    return prompt, generated
