"""`slm describe`: everything that is known of one model, and why it is so."""

from collections.abc import Iterator
from typing import Annotated

import typer

from smallmodel_operator.api.base import human_bytes
from smallmodel_operator.cli.models import weights_of
from smallmodel_operator.cli.output import (
    Fields,
    Format,
    OutputOption,
    print_conditions,
    print_data,
    print_fields,
    print_lines,
    print_section,
    print_table,
    print_text,
)
from smallmodel_operator.cli.runs import PortOption, find_model, live_run, status_of
from smallmodel_operator.local.state import ModelReport, SizeReport


def describe(
    name: Annotated[str, typer.Argument(help="The model's name.")],
    port: PortOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show one model: what was chosen and why, its memory, conditions and recent errors."""
    run = live_run(port)
    status = status_of(run)
    report = find_model(status, name)
    if output is not Format.TABLE:
        print_data(report.model_dump(mode="json", by_alias=True, exclude_none=True), output)
        return
    print_fields(_identity(report))
    print_section("Resolution", _resolution(report))
    if report.size:
        print_lines("Memory of one replica", memory_sum(report.size, status.memory_bytes))
    print_section("Verified", _performance(report))
    print_conditions(report.model.status.conditions)
    if report.rejected:
        print_text("\nNot taken:")
        rows = [(option.variant, option.reason, option.message) for option in report.rejected]
        print_table(("variant", "reason", "message"), rows)
    print_lines("Recent errors", report.recent_errors)


def memory_sum(size: SizeReport, available: int) -> Iterator[str]:
    """Yield the memory arithmetic as a sum that can be checked by eye.

    Args:
        size: The parts, in bytes.
        available: What models may use together, in bytes.
    """
    tokens = size.context_length * size.slots
    parts = (
        ("weights", size.weights, ""),
        ("KV cache", size.kv_cache, _kv_note(size, tokens)),
        ("compute", size.compute, ""),
        ("process", size.process, ""),
    )
    for label, count, note in parts:
        yield f"{label:<10} {human_bytes(count):>9}{note}".rstrip()
    computed = sum(count for _, count, _ in parts)
    total = f"{'total':<10} {human_bytes(size.total):>9}   of {human_bytes(available)} for models"
    if size.total == computed:
        yield total
    else:
        yield f"{'sum':<10} {human_bytes(computed):>9}"
        yield f"{total}, as spec.resources.memory says"


def _kv_note(size: SizeReport, tokens: int) -> str:
    if not size.kv_bytes_per_token:
        return ""
    return (
        f"   = {size.context_length} tokens x {size.slots} slots ({tokens}) "
        f"x {human_bytes(size.kv_bytes_per_token)}"
    )


def _identity(report: ModelReport) -> Fields:
    status = report.model.status
    return (
        ("Name", report.model.metadata.name),
        ("State", report.state),
        ("URL", status.url),
        ("Past the gateway", report.engine_url),
        ("Manifest", report.file),
        ("Generation", report.model.metadata.generation),
    )


def _resolution(report: ModelReport) -> Fields:
    status, size = report.model.status, report.size
    return (
        ("Model", weights_of(report)),
        ("Engine", status.engine or report.engine),
        ("Variant", status.variant),
        ("Context", f"{size.context_length} tokens per request" if size else None),
        ("Slots", f"{size.slots} requests at the same time" if size else None),
        ("Replicas", _replicas(report)),
        ("Threads", report.threads or ("all cores that are free" if size else None)),
        ("Serving hash", status.serving_hash),
    )


def _replicas(report: ModelReport) -> str:
    scaling = report.model.spec.scaling
    running = f"{report.model.status.replicas} running, {scaling.min_replicas} at least"
    if report.max_replicas is None:
        return running
    if report.max_replicas < scaling.max_replicas:
        return f"{running}, {report.max_replicas} at most (no room for {scaling.max_replicas})"
    return f"{running}, {report.max_replicas} at most"


def _performance(report: ModelReport) -> Fields:
    measured = report.model.status.performance
    if measured is None:
        return ()
    return (
        ("First token", f"{measured.time_to_first_token_seconds:.2f} s"),
        ("Speed", f"{measured.tokens_per_second:.0f} tokens/s"),
    )
