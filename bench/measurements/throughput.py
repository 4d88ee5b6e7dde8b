"""What the path carries when the engine costs nothing, and LiteLLM beside it."""

import contextlib
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.children import cpu_seconds, family, free_port, program, title
from bench.client import chat_body
from bench.litellm import VERSION, LiteLlmError, install, litellm
from bench.load import LoadResult, LoadSettings, put_load
from bench.mock.engine import event_count
from bench.plan import Bench, Measurement
from bench.slm_up import NAME
from bench.values import Bound, Breakdown, Figure, Report, Target

_CLIENTS: Final = 32
_TOKENS: Final = 64
_SECONDS: Final = 4.0
_WARM_UP_SECONDS: Final = 1.0
_PATH: Final = "the path"
_DIRECT: Final = "mock alone"
_LITELLM: Final = f"LiteLLM {VERSION}"

_ABOUT: Final = (
    "Envoy, HAProxy and one replica exactly as `slm up` makes them, with a mock in the place of "
    "llama.cpp: a process that answers at once as llama.cpp would. A *request* asks for one token "
    f"and no stream, a *stream* for {_TOKENS}, which the mock writes one by one. {_CLIENTS} "
    f"clients in a process of their own, {_SECONDS:.0f} s a load after {_WARM_UP_SECONDS:.0f} s of "
    "warm-up. LiteLLM (one worker, no "
    "database) stands before the same mock in the same run, and the mock alone shows what clients "
    "and mock could do at most. CPU per request is what all processes of the path together use, "
    "their background work included, and neither clients nor mock."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    name: str
    url: str
    pid: int | None
    """Of the process whose family is the path; None: it is not counted."""
    headers: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    result: LoadResult
    cpu: dict[str, float]
    """Milliseconds of processor time for each request, by process."""


async def measure(bench: Bench) -> Report:
    """Measure."""
    notes: list[str] = []
    samples: defaultdict[tuple[str, bool], list[_Sample]] = defaultdict(list)
    async with contextlib.AsyncExitStack() as stack:
        servers = await stack.enter_async_context(_servers(bench, notes))
        for turn in range(bench.runs):
            for server in servers if turn % 2 else reversed(servers):
                for stream in (False, True):
                    bench.say(f"run {turn + 1}: {server.name}, {_kind(stream)}")
                    samples[server.name, stream].append(await _load(bench, server, stream))
    failed = [
        f"{name}, {_kind(stream)}: {count} times {what}"
        for (name, stream), taken in samples.items()
        for sample in taken
        for what, count in sample.result.errors.items()
    ]
    figures = [
        figure
        for server in servers
        for stream in (False, True)
        for figure in _figures(server, stream, samples[server.name, stream])
    ]
    return Report(
        name="throughput",
        about=_ABOUT,
        figures=tuple(figures),
        breakdowns=(_breakdown(samples),),
        notes=(*notes, *failed),
    )


MEASUREMENT: Final = Measurement(name="throughput", about=_ABOUT, measure=measure)


@contextlib.asynccontextmanager
async def _servers(bench: Bench, notes: list[str]) -> AsyncIterator[Sequence[_Server]]:
    log = bench.folder / "throughput.log"
    async with contextlib.AsyncExitStack() as stack:
        _, engine = await stack.enter_async_context(program("bench.mock.engine", log=log))
        # A Unix socket's path ends at 107 bytes, so Ray needs a short folder.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="slmb-"))
        port = free_port()
        arguments = (str(Path(folder)), str(port), engine)
        pid, said = await stack.enter_async_context(
            program("bench.mock.stack", *arguments, log=log)
        )
        if said != "ready":
            raise RuntimeError(said)
        servers = [
            _Server(name=_PATH, url=f"http://127.0.0.1:{port}/v1", pid=pid),
            _Server(name=_DIRECT, url=f"{engine}/v1", pid=None),
        ]
        try:
            await install(bench)
            proxy = await stack.enter_async_context(litellm(bench, engine))
        except LiteLlmError as error:
            notes.append(f"LiteLLM was left out: {error}")
        else:
            servers.append(
                _Server(name=_LITELLM, url=proxy.url, pid=proxy.pid, headers=proxy.headers)
            )
        yield servers


async def _load(bench: Bench, server: _Server, stream: bool) -> _Sample:
    settings = LoadSettings(
        url=server.url,
        path="/chat/completions",
        body=chat_body(NAME, "Say hello.", _TOKENS if stream else 1, stream=stream).decode(),
        headers=server.headers,
        clients=_CLIENTS,
        seconds=bench.seconds(_SECONDS),
        warm_up_seconds=_WARM_UP_SECONDS,
        # LiteLLM makes events of its own.
        events=event_count(_TOKENS) if stream and server.name != _LITELLM else None,
    )
    path = family(server.pid) if server.pid is not None else []
    before = cpu_seconds(path)
    result = await put_load(settings)
    after = cpu_seconds(path)
    requests = max(1, result.completed_with_warm_up)
    cpu: defaultdict[str, float] = defaultdict(float)
    for process in path:
        if process.pid in before and process.pid in after:
            used = after[process.pid] - before[process.pid]
            cpu[title(process)] += 1000 * used / requests
    return _Sample(result=result, cpu=dict(cpu))


def _figures(server: _Server, stream: bool, samples: Sequence[_Sample]) -> list[Figure]:
    kind = f"{server.name}, {_kind(stream)}"
    least = 400 if stream else 1000
    target = Target(bound=Bound.AT_LEAST, value=least) if server.name == _PATH else None
    figures = [
        Figure(
            name=kind,
            unit="/s",
            runs=tuple(sample.result.per_second for sample in samples),
            target=target,
        ),
        Figure(
            name=f"{kind}: p50",
            unit="ms",
            runs=tuple(sample.result.p50_ms for sample in samples),
        ),
        Figure(
            name=f"{kind}: p99",
            unit="ms",
            runs=tuple(sample.result.p99_ms for sample in samples),
        ),
    ]
    if server.pid is not None:
        runs = tuple(sum(sample.cpu.values()) for sample in samples)
        figures.append(Figure(name=f"{kind}: CPU per request", unit="ms", runs=runs))
    return figures


def _breakdown(samples: dict[tuple[str, bool], list[_Sample]]) -> Breakdown:
    """Return which process of the path uses how much, in the last run."""
    plain, streamed = samples[_PATH, False][-1].cpu, samples[_PATH, True][-1].cpu
    names = sorted(plain, key=lambda name: -plain[name])
    return Breakdown(
        title="CPU of the path by process, in ms, in the last run",
        columns=("Process", "A request", "A stream"),
        rows=tuple(
            (name, f"{plain[name]:.3f}", f"{streamed.get(name, 0.0):.3f}")
            for name in names
            if plain[name] + streamed.get(name, 0.0) >= 0.001
        ),
    )


def _kind(stream: bool) -> str:
    return f"streams of {_TOKENS} tokens" if stream else "requests"
