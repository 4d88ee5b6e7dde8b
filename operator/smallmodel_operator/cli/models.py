"""Models of a run as rows of a table and as objects."""

from collections.abc import Iterable, Sequence
from typing import Final

from smallmodel_operator.api.base import human_bytes
from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.cli.output import print_table
from smallmodel_operator.local.state import ModelReport, ProblemReport
from smallmodel_operator.status.state import find

_COLUMNS: Final = ("name", "model", "engine", "variant", "replicas", "state", "url")
_WIDE_COLUMNS: Final = ("reason", "memory", "context", "slots", "file")


def print_models(reports: Iterable[ModelReport], *, wide: bool = False) -> None:
    """Print one row for each model."""
    columns = (*_COLUMNS, *_WIDE_COLUMNS) if wide else _COLUMNS
    print_table(columns, [_row(report, wide=wide) for report in reports])


def weights_of(report: ModelReport) -> str:
    """Return what the manifest asks for: a card's name, or where the weights are."""
    spec = report.model.spec
    return spec.model or (spec.source.uri if spec.source else "")


def problem_line(problem: ProblemReport) -> str:
    """Return `file:line: field: message`, as editors and terminals can follow it."""
    place = f"{problem.file}:{problem.line}" if problem.line else problem.file
    parts = (place, problem.field, problem.message)
    return ": ".join(part for part in parts if part)


def _row(report: ModelReport, *, wide: bool) -> Sequence[str]:
    status = report.model.status
    row = (
        report.model.metadata.name,
        weights_of(report),
        status.engine or report.engine or "",
        status.variant or "",
        _replicas(report),
        report.state,
        status.url or "",
    )
    return (*row, *_wide_cells(report)) if wide else row


def _replicas(report: ModelReport) -> str:
    running = str(report.model.status.replicas)
    return running if report.max_replicas is None else f"{running}/{report.max_replicas}"


def _wide_cells(report: ModelReport) -> Sequence[str]:
    ready = find(report.model.status, ConditionType.READY)
    size = report.size
    return (
        ready.reason if ready else "",
        human_bytes(size.total) if size else "",
        str(size.context_length) if size else "",
        str(size.slots) if size else "",
        report.file,
    )
