"""The node's folder, in which replicas share the machine's memory and report their engines."""

from pathlib import Path

import psutil
from pydantic import ValidationError

from smallmodel_operator.api.serving import (
    ENGINE_REPORT_SUFFIX,
    NODE_FOLDER_VARIABLE,
    NODE_MEMORY_VARIABLE,
    EngineReport,
)
from smallmodel_operator.status.serve import busiest


def node_environment(folder: Path, memory_bytes: int) -> dict[str, str]:
    """Return the variables by which replicas find the node's folder and its memory."""
    return {NODE_FOLDER_VARIABLE: str(folder), NODE_MEMORY_VARIABLE: str(memory_bytes)}


def observe_engines(folder: Path) -> dict[str, EngineReport]:
    """Return the report of each model's busiest living replica, by model name."""
    reports = (_read(file) for file in sorted(folder.glob(f"*{ENGINE_REPORT_SUFFIX}")))
    return busiest(
        report for report in reports if report is not None and psutil.pid_exists(report.pid)
    )


def _read(file: Path) -> EngineReport | None:
    try:
        return EngineReport.model_validate_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        # Its replica ended between the listing and the reading.
        return None
    except ValidationError as error:
        raise RuntimeError(f"{file} is not an engine's report: {error}") from error
