"""Preparing another cluster for a hub, step by step; each step may be taken again."""

import asyncio
import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from smallmodel_operator.api import crd
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import (
    API_VERSION,
    HUB_ACCOUNT,
)
from smallmodel_operator.cli.cluster.fleet import Hub, check_is_another
from smallmodel_operator.cli.cluster.session import Session
from smallmodel_operator.cli.errors import CommandError
from smallmodel_operator.cli.output import yaml_text
from smallmodel_operator.plan.members import TOKEN_SECRET, member_manifests
from smallmodel_operator.plan.pools.values import Manifest
from smallmodel_operator.status.cluster import kuberay_problem

if TYPE_CHECKING:
    from smallmodel_operator.clusters.api import Api

KUBECONFIG_KEY: Final = "kubeconfig"
_TRIES: Final = 50
_PAUSE: Final = 0.2
_PLACEMENTS: Final = next(kind for kind in crd.KINDS if kind.model is ModelPlacement)

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be joined.

    Attributes:
        name: The ModelCluster.
        server: Where the hub reaches the API server; None: where the kubeconfig does.
        spec: Further fields of the ModelCluster, which replace those that are there.
    """

    name: str
    server: str | None
    spec: Manifest


async def join(hub: Hub, member: Session, wish: Wish, tell: Tell) -> None:
    """Prepare a cluster, and declare it on the hub.

    Raises:
        ApiError: One of the two could not be read or written.
        CommandError: The cluster cannot be joined as it is.
    """
    uid = await uid_of_another(hub, member, wish)
    await _prepare(member, hub.namespace, tell)
    token = await token_in(member.api, TOKEN_SECRET, hub.namespace)
    content = kubeconfig_for(
        member,
        name=wish.name,
        namespace=hub.namespace,
        user=HUB_ACCOUNT,
        token=token,
        server=wish.server,
    )
    await _prove(content)
    tell("the hub's account can read the cluster")
    secret = secret_name(wish.name)
    await hub.session.api.apply(hub.secret(secret, {KUBECONFIG_KEY: content}))
    tell(f"Secret {hub.namespace}/{secret} on the hub has its kubeconfig")
    connection = {
        "mode": "Push",
        "kubeconfigSecretRef": {"name": secret, "key": KUBECONFIG_KEY},
        "clusterProfileRef": None,
        "clusterUID": uid,
    }
    await declare(hub, wish, connection, tell)
    problem = await kuberay_problem_of(member.api, hub.hub_id)
    tell(f"KubeRay: {problem or 'is there'}")


def secret_name(cluster: str) -> str:
    """Return the name of the Secret with a cluster's kubeconfig on the hub."""
    return f"smallmodel-cluster-{cluster}"


async def uid_of_another(hub: Hub, member: Session, wish: Wish) -> str:
    """Return the UID of a cluster that is neither the hub's own nor another ModelCluster's.

    Raises:
        ApiError: One of the two could not be read.
        CommandError: It is.
    """
    from smallmodel_operator.clusters.identity import cluster_uid

    uid = await cluster_uid(member.api)
    await check_is_another(hub, wish.name, uid)
    return uid


async def _prepare(member: Session, namespace: str, tell: Tell) -> None:
    await define_placements(member, tell)
    await apply_all(member, member_manifests(namespace), tell)


async def define_placements(member: Session, tell: Tell) -> None:
    """Have the cluster know ModelPlacements.

    Raises:
        ApiError: It does not take the definition.
    """
    await member.api.apply(crd.build(_PLACEMENTS))
    tell(f"CustomResourceDefinition {_PLACEMENTS.crd_name} is there")


async def apply_all(session: Session, manifests: Sequence[Manifest], tell: Tell) -> None:
    """Have objects be there, and tell of each.

    Raises:
        ApiError: One of them is not taken.
    """
    for manifest in manifests:
        await session.api.apply(manifest)
        metadata = manifest["metadata"]
        where = f"{metadata['namespace']}/" if "namespace" in metadata else ""
        tell(f"{manifest['kind']} {where}{metadata['name']} is there")


def kubeconfig_for(
    session: Session, *, name: str, namespace: str, user: str, token: str, server: str | None
) -> bytes:
    """Return a kubeconfig that stands alone: the address of a connection, and another's token.

    Args:
        session: A connection to that API server.
        name: Of what it leads to.
        namespace: The account's.
        user: The account.
        token: The account's.
        server: Another address of the same API server; None: that of the connection.
    """
    from smallmodel_operator.clusters.contexts import read_address, read_context

    address = read_address(read_context(session.access.kubeconfig, session.access.context))
    cluster: Manifest = {"server": server or address.server}
    if address.authority is not None:
        encoded = base64.b64encode(address.authority).decode()
        cluster["certificate-authority-data"] = encoded
    if address.server_name is not None:
        cluster["tls-server-name"] = address.server_name
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": user, "namespace": namespace}}
        ],
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
    }
    return yaml_text(config).encode()


async def token_in(api: "Api", name: str, namespace: str) -> str:
    """Return the token in a Secret, once a controller of the cluster has made it.

    Raises:
        ApiError: The Secret could not be read.
        CommandError: There is no token in it after a while.
    """
    from smallmodel_operator.clusters.ref import SECRETS

    ref = SECRETS.ref(name, namespace)
    for _ in range(_TRIES):
        secret = await api.get(ref) or {}
        token = (secret.get("data") or {}).get("token")
        if token:
            return base64.b64decode(token).decode()
        await asyncio.sleep(_PAUSE)
    raise CommandError(
        f"{ref} in the cluster has no token after {_TRIES * _PAUSE:g} s, and a controller of the "
        "cluster writes it there; look whether kube-controller-manager runs, and join again"
    )


async def _prove(content: bytes) -> None:
    """Read something as the hub will.

    Raises:
        ApiError: It could not be, or the kubeconfig is not one that the hub takes.
    """
    from smallmodel_operator.clusters.api import Api
    from smallmodel_operator.clusters.credentials import read_kubeconfig
    from smallmodel_operator.clusters.identity import cluster_uid

    async with Api.of(read_kubeconfig(content, "The kubeconfig for the hub")) as api:
        await cluster_uid(api)


async def declare(hub: Hub, wish: Wish, connection: Manifest, tell: Tell) -> None:
    """Make the ModelCluster, or change only its connection and what is asked for.

    Raises:
        ApiError: It could not be read or written.
    """
    from smallmodel_operator.clusters.ref import MODELCLUSTERS

    api, ref = hub.session.api, MODELCLUSTERS.ref(wish.name)
    if await api.get(ref) is not None:
        await api.merge_patch(ref, {"spec": {"connection": connection, **wish.spec}})
        tell(f"ModelCluster {wish.name} has the connection, and what it had besides")
        return
    given = {field: value for field, value in connection.items() if value is not None}
    await api.create(
        {
            "apiVersion": API_VERSION,
            "kind": "ModelCluster",
            "metadata": {"name": wish.name},
            "spec": {"connection": given, **wish.spec},
        }
    )
    tell(f"ModelCluster {wish.name} is there")


async def kuberay_problem_of(api: "Api", hub_id: str) -> str | None:
    """Return what is to be done about KubeRay in a cluster, or None where nothing is.

    Raises:
        ApiError: The cluster could not be observed.
    """
    from smallmodel_operator.clusters.observe import ClusterObserver
    from smallmodel_operator.clusters.view import kuberay_of

    return kuberay_problem(kuberay_of((await ClusterObserver(api, hub_id).observe()).kuberay))
