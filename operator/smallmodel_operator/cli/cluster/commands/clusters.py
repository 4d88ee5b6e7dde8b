"""`slm cluster`: the clusters that a hub works on."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from smallmodel_operator.api.modelcluster import Connection, ConnectionMode, ModelCluster
from smallmodel_operator.api.names import LOCAL_CLUSTER, placement_namespace
from smallmodel_operator.cli.cluster.bundles.keys import hub_secret
from smallmodel_operator.cli.cluster.commands.joins import (
    Joining,
    join_by_agent,
    join_by_files,
    join_by_hub,
)
from smallmodel_operator.cli.cluster.debts import DEBTS, record_debt
from smallmodel_operator.cli.cluster.fleet import (
    DRAIN_KEY,
    Hub,
    all_clusters,
    condition,
    find_hub,
    one_cluster,
    placements_on,
)
from smallmodel_operator.cli.cluster.joining import Wish, secret_name
from smallmodel_operator.cli.cluster.options import Access, ContextOption, KubeconfigOption
from smallmodel_operator.cli.cluster.session import Session, ask
from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.cli.output import (
    Format,
    OutputOption,
    as_list,
    as_plain,
    print_conditions,
    print_data,
    print_fields,
    print_note,
    print_section,
    print_table,
)
from smallmodel_operator.plan.agents import agent_role
from smallmodel_operator.plan.pools.values import Manifest
from smallmodel_operator.status.link import USABLE


class Mode(StrEnum):
    """Who calls whom."""

    PUSH = "push"
    PULL = "pull"
    BUNDLE = "bundle"


_PUSH_NEEDS: Final = (
    "say which cluster joins: --kubeconfig FILE, or --context NAME of the default one; the hub is "
    "the current context, or --hub-kubeconfig and --hub-context. --hub-server and --secret-file "
    "are for --mode pull"
)
_PULL_NEEDS: Final = (
    "say which cluster joins: --kubeconfig FILE or --context NAME; or, where it cannot be reached "
    "from here, --secret-file FILE, which gets what is to be applied there. --server is for "
    "--mode push; the hub's address is --hub-server"
)
_BUNDLE_NEEDS: Final = (
    "say which cluster joins: --secret-file FILE, which gets what is to be applied there; or, if "
    "it can be reached from here, --kubeconfig FILE or --context NAME. Nobody calls anybody, so "
    "there is no --server and no --hub-server"
)

app = typer.Typer(
    help="The clusters that a hub works on: its own, and those that joined.", no_args_is_help=True
)

_COLUMNS: Final = (
    "name", "connection", "link", "tier", "jurisdiction", "nodes", "kuberay", "schedulable", "why",
)  # fmt: skip
ClusterName = Annotated[str, typer.Argument(help="The ModelCluster's name.")]


@app.command("list")
def list_clusters(
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """List the clusters: how each is reached, if it answers, and if new copies may go there."""
    clusters = ask(Access(context=context, kubeconfig=kubeconfig), all_clusters)
    if output is not Format.TABLE:
        print_data(as_list(clusters), output)
        return
    print_table(_COLUMNS, [_row(one) for one in clusters])


@app.command()
def describe(
    name: ClusterName,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Show one cluster: its link, what was seen of it, its conditions, and its number of models."""

    async def work(session: Session) -> tuple[ModelCluster, int]:
        cluster = await one_cluster(session, name)
        return cluster, len(await placements_on(session, name))

    cluster, models = ask(Access(context=context, kubeconfig=kubeconfig), work)
    if output is not Format.TABLE:
        print_data(as_plain(cluster), output)
        return
    spec, status = cluster.spec, cluster.status
    link = status.link
    print_fields(
        [
            ("Name", name),
            ("Connection", spec.connection.mode),
            ("Reached by", _way(spec.connection)),
            ("Tier", spec.tier),
            ("Jurisdiction", spec.jurisdiction or "unknown"),
            ("Gateway", spec.gateway.address if spec.gateway else None),
            ("Taints", ", ".join(f"{one.key}:{one.effect}" for one in spec.taints)),
            ("Models", models),
        ]
    )
    if link is not None:
        print_section(
            "Link",
            [
                ("State", link.state),
                ("Since", link.since),
                ("Last contact", link.last_contact or "never"),
                ("Reason", link.reason),
                ("Message", link.message),
                ("Cluster UID", link.cluster_uid),
            ],
        )
    print_section(
        "Seen",
        [
            ("Kubernetes", status.kubernetes_version),
            ("KubeRay", status.kube_ray_version),
            ("Nodes", status.nodes),
            ("CPU", status.cpu),
            ("Memory", status.memory),
        ],
    )
    print_conditions(status.conditions)


@app.command("join")
def join_cluster(
    name: ClusterName,
    kubeconfig: Annotated[
        Path | None, typer.Option("--kubeconfig", help="The kubeconfig of the cluster that joins.")
    ] = None,
    context: Annotated[
        str | None, typer.Option("--context", help="Its context; default: current.")
    ] = None,
    hub_kubeconfig: Annotated[
        Path | None,
        typer.Option(
            "--hub-kubeconfig", help="The hub's kubeconfig; default: KUBECONFIG, ~/.kube/config."
        ),
    ] = None,
    hub_context: Annotated[
        str | None, typer.Option("--hub-context", help="The hub's context; default: current.")
    ] = None,
    mode: Annotated[
        Mode,
        typer.Option(
            "--mode",
            help="push: the hub calls the cluster. pull: an agent in it calls the hub. bundle: "
            "nobody calls, and files are carried.",
        ),
    ] = Mode.PUSH,
    server: Annotated[
        str | None,
        typer.Option("--server", help="The API server's address as the hub reaches it; for push."),
    ] = None,
    hub_server: Annotated[
        str | None,
        typer.Option(
            "--hub-server", help="The hub's API server as the cluster reaches it; for pull."
        ),
    ] = None,
    secret_file: Annotated[
        Path | None,
        typer.Option(
            "--secret-file",
            help="For pull and bundle, where the cluster cannot be reached from here: gets the "
            "Secret to apply there. `-`: standard output.",
        ),
    ] = None,
    jurisdiction: Annotated[
        str | None, typer.Option("--jurisdiction", help="The country it is in, for example DE.")
    ] = None,
    tier: Annotated[str | None, typer.Option("--tier", help="Cloud, OnPrem or Edge.")] = None,
    allow_deletions: Annotated[
        bool,
        typer.Option(
            "--allow-deletions",
            help="End many models that it has from before it was removed, and that nobody wants.",
        ),
    ] = False,
) -> None:
    """Prepare another cluster for the hub, and declare it there; safe to run twice.

    For push it makes, in the cluster, the operator's namespace, an account with the rights that the
    hub uses and no others, and the definition of placements; on the hub a Secret with that
    account's token, and the ModelCluster. For pull it makes an account for the agent on the hub,
    and in the cluster a Secret with its kubeconfig, and prints the command that installs the agent.
    For bundle the Secret has the keys that the files of `slm bundle` are signed and checked with.
    """
    fields = {"jurisdiction": jurisdiction, "tier": tier}
    spec = {k: v for k, v in fields.items() if v is not None}
    is_reached = kubeconfig is not None or context is not None
    member = Access(context=context, kubeconfig=kubeconfig) if is_reached else None
    access = Access(context=hub_context, kubeconfig=hub_kubeconfig)
    joining = Joining(hub=access, member=member, allow_deletions=allow_deletions)
    if mode is Mode.PULL:
        if server is not None or (secret_file is None) is (member is None):
            raise CommandError(_PULL_NEEDS, ExitCode.USAGE)
        join_by_agent(joining, Wish(name=name, server=hub_server, spec=spec), secret_file)
        return
    if mode is Mode.BUNDLE:
        is_called = server is not None or hub_server is not None
        if is_called or (secret_file is None) is (member is None):
            raise CommandError(_BUNDLE_NEEDS, ExitCode.USAGE)
        join_by_files(joining, Wish(name=name, server=None, spec=spec), secret_file)
        return
    if member is None or hub_server is not None or secret_file is not None:
        raise CommandError(_PUSH_NEEDS, ExitCode.USAGE)
    join_by_hub(joining, member, Wish(name=name, server=server, spec=spec))


@app.command()
def drain(
    name: ClusterName,
    undo: Annotated[bool, typer.Option("--undo", help="Let models go there again.")] = False,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Taint a cluster, so that its models move where they have somewhere to go, and none comes."""

    async def work(session: Session) -> int:
        from smallmodel_operator.clusters.ref import MODELCLUSTERS

        cluster = await one_cluster(session, name)
        kept: list[object] = [as_plain(one) for one in cluster.spec.taints if one.key != DRAIN_KEY]
        taints = kept if undo else [*kept, {"key": DRAIN_KEY, "effect": "NoSelect"}]
        version = cluster.metadata.resource_version
        patch: Manifest = {"metadata": {"resourceVersion": version}, "spec": {"taints": taints}}
        await session.api.merge_patch(MODELCLUSTERS.ref(name), patch)
        return len(await placements_on(session, name))

    access = Access(context=context, kubeconfig=kubeconfig)
    models = ask(access, work)
    if undo:
        print_note(f"Models may go to {name} again.")
        return
    print_note(
        f"{name} has {models} models, which move where the taint {DRAIN_KEY} leaves them "
        f"somewhere to go: `slm cluster describe {name}{access.words()}` shows how many are left."
    )


@app.command()
def remove(
    name: ClusterName,
    confirm: Annotated[
        str | None,
        typer.Option("--confirm", help="The cluster's name again, for one that cannot be reached."),
    ] = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Take a cluster off the hub: its ModelCluster, its namespace of placements, its kubeconfig.

    One that has models is drained first. One that cannot be reached keeps what runs there, and the
    hub writes down what that is.
    """
    if name == LOCAL_CLUSTER:
        raise CommandError(
            f"{LOCAL_CLUSTER} is the hub's own cluster and is not removed; `slm cluster drain "
            f"{LOCAL_CLUSTER}` empties it",
            ExitCode.USAGE,
        )
    access = Access(context=context, kubeconfig=kubeconfig)

    async def work(session: Session) -> bool:
        hub = await find_hub(session)
        cluster = await one_cluster(session, name)
        placements = await placements_on(session, name)
        in_debt = bool(placements)
        if placements:
            _may_forget(cluster, len(placements), confirm)
            await record_debt(hub, cluster, placements)
        await _take_off(hub, name, placements)
        return in_debt

    if ask(access, work):
        print_note(
            f"{name} is removed. What runs there goes on and is nobody's business here any more; "
            f"the ConfigMap {DEBTS} in the operator's namespace has what that is."
        )
        return
    print_note(
        f"{name} is removed. In that cluster the hub's account is left; "
        "docs/how-to/connect-a-cluster.md has the commands that take it away."
    )


def _may_forget(cluster: ModelCluster, models: int, confirm: str | None) -> None:
    """Return where a cluster with models may be removed.

    Raises:
        CommandError: It may not, and what to do first.
    """
    name, link = cluster.metadata.name, cluster.status.link
    mode = cluster.spec.connection.mode
    # A hub that calls it has not done so yet; an agent that never called may never do.
    answers = link.state in USABLE if link is not None else mode is ConnectionMode.PUSH
    if mode is not ConnectionMode.LOCAL and answers:
        raise CommandError(
            f"{name} has {models} models and answers, so they can be moved or ended first: `slm "
            f"cluster drain {name}`, or delete the SmallModels; remove it when none is left"
        )
    if confirm != name:
        raise CommandError(
            f"{name} has {models} models and cannot be reached, so they will go on there unseen. "
            f"If that is meant, say its name again: `slm cluster remove {name} --confirm {name}`"
        )


async def _take_off(hub: Hub, name: str, placements: list[Manifest]) -> None:
    from smallmodel_operator.clusters.ref import (
        CLUSTER_ROLE_BINDINGS,
        CLUSTER_ROLES,
        MODELCLUSTERS,
        MODELPLACEMENTS,
        NAMESPACES,
        SECRETS,
    )

    api = hub.session.api
    # First the ModelCluster: the operator stops to decide for it, and to call it.
    await api.delete(MODELCLUSTERS.ref(name))
    for one in placements:
        ref = MODELPLACEMENTS.ref(one["metadata"]["name"], one["metadata"]["namespace"])
        await api.merge_patch(ref, {"metadata": {"finalizers": []}})
        await api.delete(ref)
    await api.delete(NAMESPACES.ref(placement_namespace(name)))
    for secret in (secret_name(name), hub_secret(name)):
        await api.delete(SECRETS.ref(secret, hub.namespace))
    for kind in (CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES):
        await api.delete(kind.ref(agent_role(name)))


def _way(connection: Connection) -> str | None:
    profile, secret = connection.cluster_profile_ref, connection.kubeconfig_secret_ref
    if profile is not None:
        return f"ClusterProfile {profile.namespace}/{profile.name}"
    return f"the kubeconfig in Secret {secret.name} ({secret.key})" if secret is not None else None


def _row(cluster: ModelCluster) -> tuple[str, ...]:
    spec, status = cluster.spec, cluster.status
    schedulable = condition(cluster, "Schedulable")
    return (
        cluster.metadata.name,
        spec.connection.mode,
        status.link.state if status.link else "",
        spec.tier or "",
        spec.jurisdiction or "",
        str(status.nodes),
        status.kube_ray_version or "",
        schedulable.status if schedulable else "",
        schedulable.reason if schedulable else "",
    )
