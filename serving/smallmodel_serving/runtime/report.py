"""The report of one engine in the node's folder, for whoever watches without asking."""

import os
from pathlib import Path

from smallmodel_operator.api.serving import ENGINE_REPORT_SUFFIX, EngineReport


class ReportFile:
    """One replica's report; gone when the replica ends in order."""

    def __init__(self, folder: Path, model: str) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = folder / f"{os.getpid()}-{model}{ENGINE_REPORT_SUFFIX}"

    def write(self, report: EngineReport) -> None:
        """Replace the report: a reader sees the old one or the new one, never half of one."""
        new = self._path.with_suffix(".new")
        new.write_text(report.model_dump_json())
        new.replace(self._path)

    def remove(self) -> None:
        """Remove it."""
        self._path.unlink(missing_ok=True)
