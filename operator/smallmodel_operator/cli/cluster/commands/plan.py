"""`slm plan` for a cluster: what its operator would do with manifests, without applying them."""

from typing import TYPE_CHECKING

from pydantic import ValidationError

from smallmodel_operator.api.base import human_bytes
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.cli.cluster.options import (
    Access,
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
)
from smallmodel_operator.cli.cluster.session import Session, ask
from smallmodel_operator.cli.commands.validate import PathsArgument, fail_on
from smallmodel_operator.cli.output import (
    Format,
    OutputOption,
    as_plain,
    print_data,
    print_note,
    print_table,
)

if TYPE_CHECKING:
    from smallmodel_operator.catalog.cards import Catalog
    from smallmodel_operator.cli.cluster.observed import Observed
    from smallmodel_operator.cli.cluster.planned import Asked, ClusterPlanReport, Decided
    from smallmodel_operator.cli.desired import Desired
    from smallmodel_operator.local.manifests import Manifest


def plan(
    paths: PathsArgument,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Format.YAML,
) -> None:
    """Print what the operator would do with manifests: option, worker class, pool, and why.

    The cluster is looked at as the operator does, and nothing is written.
    """
    from smallmodel_operator.cli.cluster.planned import report
    from smallmodel_operator.cli.desired import located, read_desired

    desired = read_desired(paths)
    access = Access(context=context, kubeconfig=kubeconfig, namespace=namespace)

    async def work(session: Session) -> "tuple[tuple[Decided, ...], Observed]":
        return await _decide(session, desired)

    decided, observed = ask(access, work)
    _print(report(decided, observed), output)
    for problem in desired.manifests.problems:
        print_note(str(problem))
    refused = [one for one in decided if one.refused]
    for one in refused:
        print_note(str(located(one.asked.manifest, one.reason, one.message)))
    fail_on(broken=bool(desired.manifests.problems), refused=bool(refused))


async def _decide(session: Session, desired: "Desired") -> "tuple[tuple[Decided, ...], Observed]":
    from dataclasses import replace

    from smallmodel_operator.cli.cluster.observed import observe
    from smallmodel_operator.cli.cluster.planned import decide
    from smallmodel_operator.clusters.clock import SYSTEM_CLOCK

    observed = await observe(session)
    # Cards among the manifests are applied with the models.
    catalog = observed.catalog.extended_by(desired.manifests.cards)
    observed = replace(observed, catalog=catalog)
    now = SYSTEM_CLOCK.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    decided = [
        decide(await _asked(session, manifest, model, catalog), observed, now)
        for manifest, model in desired.models
    ]
    return tuple(decided), observed


async def _asked(
    session: Session, manifest: "Manifest", model: SmallModel, catalog: "Catalog"
) -> "Asked":
    from smallmodel_operator.cli.cluster.planned import Asked, as_applied
    from smallmodel_operator.clusters.ref import SMALLMODELS

    given = "namespace" in model.metadata.model_fields_set
    namespace = model.metadata.namespace if given else session.namespace
    found = await session.api.get(SMALLMODELS.ref(model.metadata.name, namespace))
    live = _readable(found)
    return Asked(
        manifest=manifest,
        model=as_applied(model, live, namespace),
        live=live,
        secrets=await _secrets(session, namespace, model, catalog),
    )


def _readable(found: dict[str, object] | None) -> SmallModel | None:
    try:
        return SmallModel.model_validate(found) if found else None
    except ValidationError:
        # It is replaced by the manifest anyway.
        return None


async def _secrets(
    session: Session, namespace: str, model: SmallModel, catalog: "Catalog"
) -> frozenset[str]:
    """Return the Secrets that the model needs and that are there, or may not be looked for."""
    from smallmodel_operator.catalog.rules import gate_secret
    from smallmodel_operator.clusters import errors
    from smallmodel_operator.clusters.ref import SECRETS

    wanted: set[str] = set()
    card = catalog.get(model.spec.model or "")
    if card is not None and card.spec.license.gated:
        wanted.add(gate_secret(card))
    if model.spec.source is not None and model.spec.source.secret_ref is not None:
        wanted.add(model.spec.source.secret_ref.name)
    there: set[str] = set()
    for name in sorted(wanted):
        try:
            found = await session.api.get_metadata(SECRETS.ref(name, namespace))
        except errors.Forbidden:
            print_note(
                f"You may not read Secrets of namespace {namespace}; {name} is taken as there."
            )
            there.add(name)
        else:
            there |= {name} if found else set()
    return frozenset(there)


def _print(report: "ClusterPlanReport", output: Format) -> None:
    if output is not Format.TABLE:
        print_data(as_plain(report), output)
        return
    rows = [
        (
            one.namespace,
            one.name,
            one.engine or "",
            one.variant or "",
            human_bytes(one.memory_bytes) if one.memory_bytes else "",
            one.worker.name if one.worker else "",
            f"{one.pool.name}{' (new)' if one.pool.is_new else ''}" if one.pool else "",
            one.reason,
            one.change,
        )
        for one in report.models
    ]
    print_table(
        (
            "namespace", "name", "engine", "variant", "memory", "worker class", "pool", "reason",
            "change",
        ),
        rows,
    )  # fmt: skip
