"""Preparing a cluster that the hub does not call, step by step; each step may be taken again."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from smallmodel_operator.api.names import (
    LABEL_HUB,
    LOCAL_CLUSTER,
    placement_namespace,
)
from smallmodel_operator.cli.cluster.bundles.keys import hub_secret, make_hub_keys, member_secret
from smallmodel_operator.cli.cluster.fleet import Hub
from smallmodel_operator.cli.cluster.joining import (
    KUBECONFIG_KEY,
    Tell,
    Wish,
    apply_all,
    declare,
    define_placements,
    kubeconfig_for,
    kuberay_problem_of,
    token_in,
    uid_of_another,
)
from smallmodel_operator.cli.cluster.session import Session
from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.plan.accounts import made
from smallmodel_operator.plan.agents import AGENT_ACCOUNT, agent_account, agent_manifests
from smallmodel_operator.plan.pools.values import Manifest

HUB_KUBECONFIG: Final = "smallmodel-hub-kubeconfig"
"""The Secret in the cluster, as the chart's agent.hubKubeconfigSecret is by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What the cluster is to get."""

    secret: Manifest
    """With the kubeconfig of the hub."""
    install: str
    """The command that installs the agent."""


async def carry(hub: Hub, member: Session | None, wish: Wish, tell: Tell) -> Prepared:
    """Prepare the hub for a cluster that files are carried to, and the cluster where it can be.

    Args:
        hub: The hub.
        member: The cluster; None: it cannot be reached from here.
        wish: What is to be joined.
        tell: Told of each step.

    Raises:
        ApiError: One of the two could not be read or written.
        CommandError: The cluster cannot be joined as it is.
    """
    _check_name(wish)
    uid = await uid_of_another(hub, member, wish) if member is not None else None
    namespace = made(
        "v1", "Namespace", placement_namespace(wish.name), labels={LABEL_HUB: hub.hub_id}
    )
    await apply_all(hub.session, (namespace,), tell)
    keys = await make_hub_keys(hub, wish.name)
    tell(f"Secret {hub.namespace}/{hub_secret(wish.name)} has the keys of both sides")
    connection: Manifest = {
        "mode": "Bundle",
        "kubeconfigSecretRef": None,
        "clusterProfileRef": None,
    }
    await declare(hub, wish, connection | ({"clusterUID": uid} if uid else {}), tell)
    secret = member_secret(hub, wish.name, keys)
    if member is not None:
        await _prepare(hub, member, secret, tell)
    return Prepared(secret=secret, install=_install(hub, wish.name))


async def pull(hub: Hub, member: Session | None, wish: Wish, tell: Tell) -> Prepared:
    """Prepare the hub for an agent, and the cluster too where it can be reached from here.

    Args:
        hub: The hub.
        member: The cluster; None: it cannot be reached from here.
        wish: What is to be joined; its `server` is the hub's address as the cluster reaches it.
        tell: Told of each step.

    Raises:
        ApiError: One of the two could not be read or written.
        CommandError: The cluster cannot be joined as it is.
    """
    from smallmodel_operator.clusters.credentials import read_kubeconfig

    _check_name(wish)
    uid = await uid_of_another(hub, member, wish) if member is not None else None
    await apply_all(hub.session, agent_manifests(wish.name, hub.hub_id), tell)
    connection: Manifest = {
        "mode": "Pull",
        "kubeconfigSecretRef": None,
        "clusterProfileRef": None,
    }
    await declare(hub, wish, connection | ({"clusterUID": uid} if uid else {}), tell)
    account = agent_account(wish.name)
    token = await token_in(hub.session.api, account.token_secret, account.namespace)
    content = kubeconfig_for(
        hub.session,
        name="hub",
        namespace=account.namespace,
        user=AGENT_ACCOUNT,
        token=token,
        server=wish.server,
    )
    # As suspicious as the agent will be.
    read_kubeconfig(content, "The hub's kubeconfig for the agent (see --hub-server)")
    secret = hub.secret(HUB_KUBECONFIG, {KUBECONFIG_KEY: content})
    if member is not None:
        await _prepare(hub, member, secret, tell)
    return Prepared(secret=secret, install=_install(hub, wish.name))


def write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone may read.

    Raises:
        CommandError: It cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise CommandError(
            f"{path} cannot be written ({error.strerror}); give another --secret-file",
            ExitCode.USAGE,
        ) from error


def _check_name(wish: Wish) -> None:
    if wish.name == LOCAL_CLUSTER:
        raise CommandError(
            f"{LOCAL_CLUSTER} is the hub's own cluster, which needs no joining; give another name",
            ExitCode.USAGE,
        )


async def _prepare(hub: Hub, member: Session, secret: Manifest, tell: Tell) -> None:
    await define_placements(member, tell)
    await apply_all(member, (made("v1", "Namespace", hub.namespace), secret), tell)
    problem = await kuberay_problem_of(member.api, hub.hub_id)
    tell(f"KubeRay: {problem or 'is there'}")


def _install(hub: Hub, name: str) -> str:
    return (
        "helm upgrade --install smallmodel-operator charts/smallmodel-operator "
        f"--namespace {hub.namespace} --create-namespace --take-ownership "
        f"--set role=Agent,agent.clusterName={name},agent.hubID={hub.hub_id}"
    )
