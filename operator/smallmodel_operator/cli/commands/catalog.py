"""`slm catalog`: the models that can be asked for by name."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from smallmodel_operator.api.base import human_bytes
from smallmodel_operator.api.modelcard import License, ModelCard, Task, Variant
from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.cli.here import look
from smallmodel_operator.cli.output import (
    Format,
    OutputOption,
    as_plain,
    print_data,
    print_note,
    print_table,
    print_text,
)

if TYPE_CHECKING:
    from smallmodel_operator.placement.fits import Fit

app = typer.Typer(help="The models that can be asked for by name.", no_args_is_help=True)

_MemoryOption = Annotated[
    str | None,
    typer.Option("--memory", help="Memory for models, such as 4Gi; default: what is here."),
]


@app.command("list")
def list_cards(
    task: Annotated[
        Task | None, typer.Option("--task", help="Only this task.", case_sensitive=False)
    ] = None,
    fits_only: Annotated[
        bool, typer.Option("--fits", help="Only what this machine can serve.")
    ] = False,
    memory: _MemoryOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """List the models, their licences, and what fits this machine with every default."""
    from smallmodel_operator.local.bundled import fetch_bundled_cards
    from smallmodel_operator.placement.fits import fits
    from smallmodel_operator.placement.placement import Placement

    machine = look(memory)
    shown = [
        fit
        for fit in fits(fetch_bundled_cards(), machine)
        if task in (None, fit.card.spec.task)
        and (not fits_only or isinstance(fit.outcome, Placement))
    ]
    if output is not Format.TABLE:
        print_data([_data(fit) for fit in shown], output)
        return
    columns = ("name", "task", "parameters", "context", "licence", "evidence", "fits here")
    print_table(columns, [_row(fit) for fit in shown])
    print_note(
        f"\n{len(shown)} models. This machine has {human_bytes(machine.memory_bytes)} for models. "
        "`slm catalog show NAME` tells more."
    )


@app.command("show")
def show_card(
    name: Annotated[str, typer.Argument(help="The model's name in the catalogue.")],
    memory: _MemoryOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show one model: its card as a Kubernetes object, or as text with what fits here."""
    from smallmodel_operator.local.bundled import fetch_bundled_cards
    from smallmodel_operator.placement.fits import fit_of

    catalog = fetch_bundled_cards()
    card = catalog.get(name)
    if card is None:
        near = catalog.nearest(name)
        hint = f"did you mean {' or '.join(near)}?" if near else "`slm catalog list` prints all"
        raise CommandError(f"no model {name!r} in the catalogue; {hint}", ExitCode.NOT_FOUND)
    if output is not Format.TABLE:
        print_data(as_plain(card), output)
        return
    fit = fit_of(card, look(memory))
    facts = [(label, read(card)) for label, read in _FACTS]
    for label, text in [*facts, ("Fits here", _fit_sentence(fit))]:
        if text:
            print_text(f"{label + ':':<14}{text}")
    if card.spec.variants:
        print_text("")
        columns = ("variant", "format", "engine", "size", "bits/weight", "evidence", "source")
        print_table(columns, [_variant_row(variant) for variant in card.spec.variants])


def parameters(count: int) -> str:
    """Return a count of parameters as people say it: 135M, 7.2B."""
    if count >= 1e9:
        return f"{count / 1e9:.1f}B"
    return f"{count / 1e6:.0f}M"


def _licence(terms: License) -> str:
    marks = [mark for mark in ("restricted", "gated") if getattr(terms, mark)]
    return f"{terms.id} ({', '.join(marks)})" if marks else terms.id


def _parameters_of(card: ModelCard) -> str:
    return parameters(card.spec.architecture.parameters) if card.spec.architecture else ""


def _row(fit: "Fit") -> Sequence[str]:
    spec = fit.card.spec
    return (
        fit.card.metadata.name,
        spec.task,
        _parameters_of(fit.card),
        str(spec.context_length),
        _licence(spec.license),
        spec.evidence,
        fit.summary,
    )


def _data(fit: "Fit") -> object:
    from smallmodel_operator.placement.placement import Placement

    spec, outcome = fit.card.spec, fit.outcome
    here: dict[str, object] = (
        {
            "fits": True,
            "variant": outcome.option.variant.name,
            "engine": outcome.option.engine.value,
            "memoryBytes": outcome.option.size.total,
        }
        if isinstance(outcome, Placement)
        else {"fits": False, "reason": outcome.reason.value, "message": outcome.message}
    )
    return {
        "name": fit.card.metadata.name,
        "task": spec.task.value,
        "parameters": spec.architecture.parameters if spec.architecture else None,
        "contextLength": spec.context_length,
        "license": as_plain(spec.license),
        "evidence": spec.evidence.value,
        "variants": [variant.name for variant in spec.variants],
        "here": here,
    }


def _fit_sentence(fit: "Fit") -> str:
    from smallmodel_operator.placement.placement import Placement

    outcome = fit.outcome
    if isinstance(outcome, Placement):
        return f"yes. {outcome.message}"
    return f"no ({outcome.reason}). {outcome.message}"


def _variant_row(variant: Variant) -> Sequence[str]:
    return (
        variant.name,
        variant.format,
        variant.engine,
        human_bytes(variant.bytes) if variant.bytes else "unknown",
        f"{variant.bits_per_weight:g}",
        variant.evidence,
        variant.uri,
    )


_FACTS: Sequence[tuple[str, Callable[[ModelCard], str]]] = (
    ("Name", lambda card: card.metadata.name),
    ("Title", lambda card: card.spec.display_name),
    ("Publisher", lambda card: card.spec.publisher),
    ("Task", lambda card: card.spec.task),
    ("Languages", lambda card: ", ".join(card.spec.languages)),
    ("Parameters", _parameters_of),
    ("Context", lambda card: f"{card.spec.context_length} tokens"),
    ("Licence", lambda card: _licence(card.spec.license)),
    ("Terms", lambda card: card.spec.license.url or ""),
    ("Intended use", lambda card: card.spec.intended_use),
    ("Limits", lambda card: card.spec.limits),
    ("Card", lambda card: card.spec.provenance.card or ""),
    ("Paper", lambda card: card.spec.provenance.paper or ""),
    ("Evidence", lambda card: card.spec.evidence),
    ("Closed", lambda card: card.spec.closed.reason if card.spec.closed else ""),
    (
        "Not on",
        lambda card: "; ".join(f"{r.engine}: {r.reason}" for r in card.spec.engine_refusals),
    ),
)
