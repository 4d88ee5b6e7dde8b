"""`slm explain`: why a model is where it is, cluster by cluster, with numbers."""

from typing import Final

from smallmodel_operator.api.where import Candidate
from smallmodel_operator.cli.cluster.options import (
    Access,
    ContextOption,
    KubeconfigOption,
    NameArgument,
    NamespaceOption,
)
from smallmodel_operator.cli.cluster.reading import SeenModel, read_model
from smallmodel_operator.cli.cluster.session import Session, ask
from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.cli.output import (
    Format,
    OutputOption,
    as_plain,
    print_data,
    print_lines,
    print_table,
    print_text,
)

_COLUMNS: Final = (
    "cluster", "selected", "reason", "per hour", "compute", "data", "carbon", "g co2e/h", "why",
)  # fmt: skip


def explain(
    name: NameArgument,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Print why a model is where it is: each cluster with its reason, cost and what is assumed."""
    access = Access(context=context, kubeconfig=kubeconfig, namespace=namespace)

    async def work(session: Session) -> SeenModel:
        return await read_model(session, name)

    decision = ask(access, work).status.decision
    if decision is None:
        raise CommandError(
            f"nothing was decided of {name} yet; `slm describe {name}{access.words()}` says what "
            "it waits for",
            ExitCode.NOT_FOUND,
        )
    if output is not Format.TABLE:
        print_data(as_plain(decision), output)
        return
    print_text(decision.summary)
    print_table(_COLUMNS, [_row(one) for one in decision.candidates])
    assumed = [f"{one.cluster}: {text}" for one in decision.candidates for text in one.assumed]
    print_lines("Assumed, since nobody declared it", assumed)


def _row(one: Candidate) -> tuple[str, ...]:
    cost = one.cost
    return (
        one.cluster,
        "yes" if one.selected else "no",
        one.reason,
        f"{cost.total} {cost.currency}" if cost else "",
        cost.compute if cost else "",
        cost.data if cost else "",
        cost.carbon if cost else "",
        one.grams_co2e_per_hour or "",
        one.message,
    )
