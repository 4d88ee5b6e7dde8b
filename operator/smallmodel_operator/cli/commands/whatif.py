"""`slm whatif`: who would move if something changed, and what that would cost."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smallmodel_operator.api.base import ApiModel
from smallmodel_operator.cli.errors import CommandError, ExitCode
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
    from smallmodel_operator.api.modelcluster import ModelCluster
    from smallmodel_operator.api.smallmodel import SmallModel
    from smallmodel_operator.placement.whatif import Change, Fate


class FateReport(ApiModel):
    """One running model, now and then; amounts are of an hour."""

    namespace: str
    name: str
    now: str | None
    then: str | None
    cost_now: str | None
    cost_then: str | None
    why: str


class WhatIfReport(ApiModel):
    """What would become of all running models."""

    models: int
    moves: int
    stops: int
    """Models for which there would be no place."""
    cost_now: str
    """Of those that are priced now, in an hour."""
    cost_then: str
    """Of those that would be priced then."""
    fates: tuple[FateReport, ...]


def whatif(
    file: Annotated[
        Path | None, typer.Argument(help="What was recorded, by kubectl get -o yaml.")
    ] = None,
    snapshot: Annotated[
        Path | None,
        typer.Option(
            "--snapshot", metavar="FILE", help="What slm snapshot recorded, in its place."
        ),
    ] = None,
    lost: Annotated[
        list[str] | None, typer.Option("--lost", metavar="CLUSTER", help="This cluster is gone.")
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(
            "--price", metavar="CLUSTER=FACTOR", help="Its hours cost so many times as much."
        ),
    ] = None,
    law: Annotated[
        list[str] | None,
        typer.Option(
            "--law",
            metavar="[NAMESPACE=]CODES",
            help="Data may be read there only, such as team=DE,FR or EU; default: everywhere.",
        ),
    ] = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Print what would become of running models if clusters, prices or laws were others.

    Nothing is asked or written: FILE is what was recorded, and may be edited. Each option may be
    given several times.
    """
    given = (lost or (), price or (), law or ())
    if file is not None and snapshot is None:
        fates = _of_world(file, *given)
    elif snapshot is not None and file is None:
        fates = _of_snapshot(snapshot, *given)
    else:
        raise CommandError(
            "give one of FILE, which kubectl recorded, and --snapshot FILE, which slm snapshot did",
            ExitCode.USAGE,
        )
    report = _report(fates)
    if output is not Format.TABLE:
        print_data(as_plain(report), output)
        return
    changed = [one for one in report.fates if _differs(one)]
    if changed:
        print_table(
            ("namespace", "name", "now", "then", "cost now", "cost then", "why"),
            [
                (
                    one.namespace,
                    one.name,
                    one.now or "nowhere",
                    one.then or "nowhere",
                    one.cost_now or "",
                    one.cost_then or "",
                    one.why,
                )
                for one in changed
            ],
        )
    print_text(
        f"Of {report.models} running models {report.moves} would move, and for {report.stops} "
        "there would be no place. An hour would cost "
        f"{report.cost_then} in place of {report.cost_now}."
    )
    waiting = sum(one.now is None for one in report.fates)
    if waiting:
        print_text(f"Of those that wait now {waiting} would have a place.")


def _of_world(
    path: Path, lost: Sequence[str], prices: Sequence[str], laws: Sequence[str]
) -> "Sequence[Fate]":
    from smallmodel_operator.cli.worlds import read_world
    from smallmodel_operator.placement.whatif import what_if

    world = read_world(path)
    return what_if(world, _change(world.clusters, world.models, lost, prices, laws))


def _of_snapshot(
    path: Path, lost: Sequence[str], prices: Sequence[str], laws: Sequence[str]
) -> "Sequence[Fate]":
    from smallmodel_operator.cli.snapshots import read_snapshot
    from smallmodel_operator.reconcile.replay import fates_of

    file = read_snapshot(path)
    change = _change(file.clusters, file.models, lost, prices, laws)
    others = file.not_reproduced()
    if others:
        print_note(
            f"Of {', '.join(others)} this slm decides another thing than was recorded: the file "
            f"was edited, or written by another slm ({file.slm})."
        )
    return fates_of(file.snapshot(), change)


def _change(
    clusters: "Sequence[ModelCluster]",
    models: "Sequence[SmallModel]",
    lost: Sequence[str],
    prices: Sequence[str],
    laws: Sequence[str],
) -> "Change":
    from smallmodel_operator.placement.whatif import Change

    factors = dict(_factor(given) for given in prices)
    known = {cluster.metadata.name for cluster in clusters}
    for name in (*lost, *factors):
        if name not in known:
            raise CommandError(
                f"there is no cluster {name!r}; there are: {', '.join(sorted(known))}",
                ExitCode.USAGE,
            )
    added = tuple(_law(given) for given in laws)
    namespaces = {model.metadata.namespace for model in models}
    for namespace, _ in added:
        if namespace is not None and namespace not in namespaces:
            raise CommandError(
                f"no model is in the namespace {namespace!r} that --law names; models are in: "
                f"{', '.join(sorted(namespaces)) or 'none'}",
                ExitCode.USAGE,
            )
    return Change(lost=frozenset(lost), factors=factors, laws=added)


def _factor(given: str) -> tuple[str, float]:
    name, _, text = given.rpartition("=")
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not name or not 0 < factor < 1e6:
        raise CommandError(
            f"--price is {given!r}; write a cluster and a number above 0, such as edge=2",
            ExitCode.USAGE,
        )
    return name, factor


def _law(given: str) -> tuple[str | None, frozenset[str]]:
    from smallmodel_operator.api.jurisdictions import COUNTRIES, GROUPS, countries

    namespace, _, text = given.rpartition("=")
    named = text.split(",")
    unknown = [code for code in named if code not in COUNTRIES and code not in GROUPS]
    if unknown:
        raise CommandError(
            f"--law is {given!r}, and {', '.join(map(repr, unknown))} is neither a country nor a "
            f"group; write ISO 3166-1 codes of two letters, or {' or '.join(sorted(GROUPS))}",
            ExitCode.USAGE,
        )
    return namespace or None, countries(named)


def _report(fates: "Sequence[Fate]") -> WhatIfReport:
    from smallmodel_operator.placement.choice.words import money

    def amount(total: float | None) -> str | None:
        return None if total is None else money(total)

    rows = [
        FateReport(
            namespace=one.namespace,
            name=one.name,
            now=one.now,
            then=one.then,
            cost_now=amount(one.cost_now.steady if one.cost_now else None),
            cost_then=amount(one.cost_then.steady if one.cost_then else None),
            why=one.why,
        )
        for one in fates
    ]
    return WhatIfReport(
        models=sum(one.now is not None for one in fates),
        moves=sum(None not in (one.now, one.then) and one.moves for one in fates),
        stops=sum(one.then is None for one in fates),
        cost_now=money(sum(one.cost_now.steady for one in fates if one.cost_now)),
        cost_then=money(sum(one.cost_then.steady for one in fates if one.cost_then)),
        fates=tuple(rows),
    )


def _differs(one: FateReport) -> bool:
    return one.now != one.then or one.cost_now != one.cost_then
