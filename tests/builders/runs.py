"""Runs as `slm up` records them, without a stack behind them."""

import os
from collections.abc import Mapping
from pathlib import Path

import psutil

from smallmodel_operator.api.meta import Condition, ObjectMeta
from smallmodel_operator.api.smallmodel import (
    Engine,
    Performance,
    Scaling,
    SmallModel,
    SmallModelSpec,
    SmallModelStatus,
)
from smallmodel_operator.local.paths import RunFolder
from smallmodel_operator.local.state import (
    ModelReport,
    OptionReport,
    Phase,
    ProblemReport,
    RunRecord,
    RunStatus,
    SizeReport,
    write_atomically,
)
from smallmodel_operator.status.state import State

MIB = 2**20


def record_run(
    port: int = 8080,
    *,
    pid: int | None = None,
    started: float | None = None,
    status: RunStatus | None = None,
    run_id: str = "0123456789abcdef",
) -> RunFolder:
    """Write what a run writes; by default this test's own process is its supervisor."""
    folder = RunFolder.of_port(port)
    pid = os.getpid() if pid is None else pid
    record = RunRecord(
        run_id=run_id,
        supervisor_pid=pid,
        supervisor_start=psutil.Process(pid).create_time() if started is None else started,
        scratch=str(folder.root / "scratch"),
        host="127.0.0.1",
        port=port,
        paths=("chat.yaml",),
    )
    write_atomically(folder.run, record.model_dump_json())
    if status is not None:
        write_atomically(folder.status, status.model_dump_json())
    return folder


def run_status(
    *models: ModelReport,
    problems: tuple[ProblemReport, ...] = (),
    ray_logs: Path | None = None,
    ports: Mapping[str, int] | None = None,
) -> RunStatus:
    return RunStatus(
        phase=Phase.RUNNING,
        driver_pid=1,
        memory_bytes=4096 * MIB,
        models=models,
        problems=problems,
        ray_logs=str(ray_logs) if ray_logs else None,
        ports=dict(ports or {}),
    )


def ready_report(name: str = "chat", *, state: State = State.READY) -> ModelReport:
    """A model that was verified, on one of the two replicas that it asked for."""
    return ModelReport(
        file="models/chat.yaml",
        model=SmallModel(
            metadata=ObjectMeta(name=name, generation=3),
            spec=SmallModelSpec(model="smollm2-135m-instruct", scaling=Scaling(max_replicas=2)),
            status=SmallModelStatus(
                observed_generation=3,
                conditions=(
                    condition("Resolved", "True", "Resolved", "Card and sizes are known"),
                    condition("Ready", "True", "Awake", "A verified revision answers"),
                ),
                url="http://127.0.0.1:8080/v1",
                replicas=1,
                engine=Engine.LLAMA_CPP,
                variant="q4_1",
                serving_hash="abc123",
                performance=Performance(time_to_first_token_seconds=0.21, tokens_per_second=48.6),
            ),
        ),
        state=state,
        engine_url=f"http://127.0.0.1:20001/{name}/v1",
        engine=Engine.LLAMA_CPP,
        size=SizeReport(
            weights=94 * MIB,
            kv_cache=360 * MIB,
            compute=46 * MIB,
            process=200 * MIB,
            total=700 * MIB,
            kv_bytes_per_token=23040,
            context_length=4096,
            slots=4,
        ),
        max_replicas=1,
        rejected=(
            OptionReport(
                variant="bf16", reason="EngineNotInstalled", message="VLLM is not installed"
            ),
        ),
        recent_errors=("2026-11-24T06:00:00Z LoadFailed: out of memory",),
    )


def condition(kind: str, status: str, reason: str, message: str) -> Condition:
    return Condition.model_validate(
        {
            "type": kind,
            "status": status,
            "observedGeneration": 3,
            "lastTransitionTime": "2026-11-24T06:00:00Z",
            "reason": reason,
            "message": message,
        }
    )
