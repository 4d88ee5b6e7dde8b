"""A real `slm up` for tests: its own state folder and free port, the user's weights cache."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import psutil
import yaml

from smallmodel_operator.local.node import observe_engines
from smallmodel_operator.local.paths import RunFolder, ScratchFolder
from smallmodel_operator.local.state import ModelReport, RunStatus, read_record, read_status
from smallmodel_operator.status.state import State
from support.free_ports import free_port

_T = TypeVar("_T")

UP: Final = frozenset({State.READY, State.ASLEEP, State.PARKED})
_DEADLINE: Final = 180.0
"""Seconds: several times what a busy machine of two cores needs for any step."""


@dataclass
class LiveRun:
    """One running `slm up`, started and stopped by `live_run`."""

    process: "subprocess.Popen[str]"
    port: int
    manifests: Path
    environment: Mapping[str, str]
    output: Path
    _files: dict[str, Path] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The base URL for an OpenAI client."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def folder(self) -> RunFolder:
        """Its state folder."""
        state = Path(self.environment["XDG_STATE_HOME"])
        return RunFolder(state / "smallmodel" / "runs" / str(self.port))

    def status(self) -> RunStatus:
        """What it last wrote."""
        return self.until(self._own_status)

    def _own_status(self) -> RunStatus | None:
        """Its status, and not one that a run before it left in the same folder."""
        record = read_record(self.folder)
        if record is None or record.supervisor_pid != self.process.pid:
            return None
        return read_status(self.folder)

    def report(self, name: str) -> ModelReport | None:
        """The model's report, or None where the run has no such model."""
        status = self._own_status()
        models = status.models if status else ()
        return next((m for m in models if m.model.metadata.name == name), None)

    def state(self, name: str) -> State | None:
        """The model's state, or None where the run has no such model."""
        report = self.report(name)
        return report.state if report else None

    def engine(self, name: str) -> str | None:
        """What the model's replica says of its engine now, ahead of the status by a second."""
        record = read_record(self.folder)
        assert record is not None
        reports = observe_engines(ScratchFolder(Path(record.scratch)).node)
        return reports[name].state if name in reports else None

    def apply(self, name: str, **spec: Any) -> None:
        """Write the model's manifest; `slm up` takes it by itself."""
        if "source" not in spec:
            spec = {"model": "smollm2-135m-instruct"} | spec
        body = {
            "apiVersion": "smallmodel.dev/v1alpha1",
            "kind": "SmallModel",
            "metadata": {"name": name},
            "spec": spec,
        }
        self.write(f"{name}.yaml", yaml.safe_dump(body))

    def write(self, file: str, text: str) -> None:
        """Write a manifest's text in one go, as an editor does."""
        temporary = self.manifests / f".{file}.new"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self.manifests / file)

    def delete(self, name: str) -> None:
        """Delete the model's manifest."""
        (self.manifests / f"{name}.yaml").unlink()

    def until(self, condition: Callable[[], _T | None], deadline: float = _DEADLINE) -> _T:
        """Wait for a condition, and return what it gave; fail with what the run printed."""
        end = time.monotonic() + deadline
        while not (result := condition()):
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"not so after {deadline} s:\n{self.explain()}")
            time.sleep(0.05)
        return result

    def until_state(self, name: str, *states: State) -> ModelReport:
        """Wait until the model is in one of these states."""
        wanted = frozenset(states) or UP
        self.until(lambda: self.state(name) in wanted)
        report = self.report(name)
        assert report is not None
        return report

    def explain(self) -> str:
        """What it printed, what it wrote, and the end of the driver's log."""
        paths = (self.output, self.folder.status, self.folder.driver_log)
        texts = [path.read_text(encoding="utf-8")[-3000:] for path in paths if path.exists()]
        return "\n---\n".join(texts)

    def ask(self, model: str, prompt: str = "Hello", **body: Any) -> httpx.Response:
        """Send one chat completion without retries."""
        message = {"model": model, "messages": [{"role": "user", "content": prompt}]}
        return httpx.post(f"{self.url}/chat/completions", json=message | body, timeout=_DEADLINE)

    def stream(
        self, model: str, prompt: str = "Count", **body: Any
    ) -> contextlib.AbstractContextManager[httpx.Response]:
        """Open one streamed chat completion."""
        message = {
            "model": model,
            "messages": [{"role": "user", "content": prompt}],
            "stream": True,
        }
        return httpx.stream(
            "POST", f"{self.url}/chat/completions", json=message | body, timeout=_DEADLINE
        )

    def command(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run another `slm` command against the same state folder."""
        return subprocess.run(
            [*SLM, *arguments],
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=60,
            check=check,
        )

    def stop(self, number: int = signal.SIGINT) -> float:
        """Stop as Ctrl-C does; return the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=30)
        return time.monotonic() - began

    def pids(self) -> set[int]:
        """Every living process that carries this run's mark."""
        from smallmodel_operator.local.processes import of_run

        record = read_record(self.folder)
        return {process.pid for process in of_run(record.run_id)} if record else set()

    def process_of(self, name: str) -> psutil.Process:
        """The process whose name that is, or that has it among the first words of its command."""
        for pid in self.pids():
            process = psutil.Process(pid)
            words = process.cmdline()
            if name in " ".join(words[:3]) or process.name() == name:
                return process
        raise AssertionError(f"no process {name!r} in the run")

    @contextlib.contextmanager
    def serving(self, **models: Mapping[str, Any]) -> Iterator["LiveRun"]:
        """Have these models, by name, until the end of the block."""
        for name, spec in models.items():
            self.apply(name, **spec)
        for name in models:
            self.until_state(name)
        yield self
        for name in models:
            self.delete(name)
        for name in models:
            self.until(lambda name=name: self.report(name) is None)  # type: ignore[misc] # a default binds the loop's value


SLM: Final = (sys.executable, "-m", "smallmodel_operator.cli")


def tokens(response: httpx.Response) -> Iterator[str]:
    """Yield the pieces of text of a streamed answer."""
    for line in response.iter_lines():
        if line.startswith("data: {"):
            choice = (json.loads(line.removeprefix("data: ")).get("choices") or [{}])[0]
            if piece := choice.get("delta", {}).get("content"):
                yield piece


@contextlib.contextmanager
def live_run(
    folder: Path, *options: str, port: int | None = None, state: Path | None = None
) -> Iterator[LiveRun]:
    """Start `slm up` on a folder of manifests, and stop it in the end whatever happens.

    Args:
        folder: A temporary folder for manifests and output.
        options: Further options of `slm up`.
        port: The public port; default: a free one.
        state: The state folder, where two runs are to share it.
    """
    manifests = folder / "manifests"
    manifests.mkdir(parents=True, exist_ok=True)
    number = port or free_port()
    environment = os.environ | {
        "XDG_STATE_HOME": str(state or folder / "state"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "PYTHONUNBUFFERED": "1",
        # Ray would let its workers, so replicas too, starve beside whatever else the machine does.
        "RAY_worker_niceness": "0",
    }
    output = folder / "output.txt"
    with output.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [*SLM, "up", str(manifests), "--port", str(number), *options],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        )
    run = LiveRun(process, number, manifests, environment, output)
    try:
        yield run
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
