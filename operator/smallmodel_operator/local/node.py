"""The node's folder, in which replicas share the machine's memory and report their engines."""

from pathlib import Path
from typing import Final

import psutil
from pydantic import ValidationError

from smallmodel_operator.api.serving import (
    ENGINE_REPORT_SUFFIX,
    NODE_FOLDER_VARIABLE,
    NODE_MEMORY_VARIABLE,
    EngineReport,
)

_BUSIEST_FIRST: Final = ("Awake", "Loading", "Asleep", "Failed")


def node_environment(folder: Path, memory_bytes: int) -> dict[str, str]:
    """Return the variables by which replicas find the node's folder and its memory."""
    return {NODE_FOLDER_VARIABLE: str(folder), NODE_MEMORY_VARIABLE: str(memory_bytes)}


def observe_engines(folder: Path) -> dict[str, EngineReport]:
    """Return the report of each model's busiest living replica, by model name."""
    reports: dict[str, EngineReport] = {}
    for file in sorted(folder.glob(f"*{ENGINE_REPORT_SUFFIX}")):
        report = _read(file)
        if report is None or not psutil.pid_exists(report.pid):
            continue
        other = reports.get(report.model)
        if other is None or _rank(report) < _rank(other):
            reports[report.model] = report
    return reports


def _rank(report: EngineReport) -> int:
    return _BUSIEST_FIRST.index(report.state)


def _read(file: Path) -> EngineReport | None:
    try:
        return EngineReport.model_validate_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        # Its replica ended between the listing and the reading.
        return None
    except ValidationError as error:
        raise RuntimeError(f"{file} is not an engine's report: {error}") from error
