"""What a hub needs in a cluster that it works on: an account, and not a verb more than it uses."""

from typing import Final

from smallmodel_operator.api.names import GROUP, HUB_ACCOUNT
from smallmodel_operator.plan.accounts import Account, Grant, made
from smallmodel_operator.plan.gateway.config_map import GATEWAY_NAME
from smallmodel_operator.plan.gateway.secret_files import TLS_SECRET
from smallmodel_operator.plan.pools.values import Manifest

TOKEN_SECRET: Final = f"{HUB_ACCOUNT}-token"
"""The Secret in which the API server keeps the account's token, until somebody deletes it."""

EVERYWHERE: Final = (
    Grant(
        why="Which cluster it is, which namespaces take models, and which jurisdiction it has.",
        resources=("namespaces",),
        verbs=("get", "list", "watch"),
    ),
    Grant(
        why="What nodes can allocate, and which accelerators they have.",
        resources=("nodes",),
        verbs=("list",),
    ),
    Grant(
        why="Where the volume of a claim is that a DataSource names.",
        resources=("persistentvolumes",),
        verbs=("get",),
    ),
    Grant(
        why="As above, where the volume does not say it.",
        group="storage.k8s.io",
        resources=("storageclasses",),
        verbs=("get",),
    ),
    Grant(
        why="What is taken of the nodes; addresses of heads, and what a fetch waits for.",
        resources=("pods",),
        verbs=("list", "watch"),
    ),
    Grant(
        why="The heads of pools are asked of their models, and models to answer, by way of the API "
        "server. It asks for `get`, and a newer one for `create` too.",
        resources=("pods/portforward",),
        verbs=("get", "create"),
    ),
    Grant(
        why="KubeRay's version, which its Deployment tells.",
        group="apps",
        resources=("deployments",),
        verbs=("list",),
    ),
    Grant(
        why="Whether KubeRay's kinds are new enough.",
        group="apiextensions.k8s.io",
        resources=("customresourcedefinitions",),
        verbs=("get",),
    ),
    Grant(
        why="A pool is a RayService.",
        group="ray.io",
        resources=("rayservices",),
        verbs=("get", "list", "watch", "create", "patch", "delete"),
    ),
    Grant(
        why="KubeRay does not carry a change of the workers' bounds over to a running cluster.",
        group="ray.io",
        resources=("rayclusters",),
        verbs=("get", "patch"),
    ),
    Grant(
        why="Weights are fetched by Jobs.",
        group="batch",
        resources=("jobs",),
        verbs=("get", "list", "watch", "create", "delete"),
    ),
    Grant(
        why="Each pool has a token of its own, whose name is made from the pool's.",
        resources=("secrets",),
        verbs=("get", "create", "delete"),
    ),
    Grant(
        why="Weights lie in a claim of the namespace, which goes with its last model.",
        resources=("persistentvolumeclaims",),
        verbs=("get", "create", "delete"),
    ),
    Grant(
        why="Who may reach a pool's dashboard, which executes code.",
        group="networking.k8s.io",
        resources=("networkpolicies",),
        verbs=("get", "create", "patch", "delete"),
    ),
    Grant(
        why="What somebody wrote into these objects is told as an Event before it is set back.",
        group="events.k8s.io",
        resources=("events",),
        verbs=("create",),
    ),
)
"""In the whole cluster."""

OWN: Final = (
    Grant(
        why="What the hub decided is mirrored here.",
        group=GROUP,
        resources=("modelplacements",),
        verbs=("get", "list", "watch", "create", "patch", "delete"),
    ),
    Grant(
        why="As above.",
        group=GROUP,
        resources=("modelplacements/status",),
        verbs=("patch",),
    ),
    Grant(
        why="The hub reads and writes a Lease to know that it can.",
        group="coordination.k8s.io",
        resources=("leases",),
        verbs=("get", "create", "patch"),
    ),
    Grant(
        why="Where the gateway leads requests to, which its pods read.",
        resources=("configmaps",),
        verbs=("get", "patch"),
        names=(GATEWAY_NAME,),
    ),
    Grant(
        why="As above.",
        resources=("configmaps",),
        verbs=("create",),
    ),
    Grant(
        why="The certificate that the gateway shows to other clusters', when it is renewed.",
        resources=("secrets",),
        verbs=("patch",),
        names=(TLS_SECRET,),
    ),
    Grant(
        why="The gateway is restarted, one pod after the other, where its start-up file changed.",
        group="apps",
        resources=("deployments",),
        verbs=("get", "patch"),
        names=(GATEWAY_NAME,),
    ),
)
"""In the operator's namespace of the cluster."""


def member_manifests(namespace: str) -> tuple[Manifest, ...]:
    """Return the hub's account in a cluster, with its roles and its token.

    Args:
        namespace: The operator's, there as on the hub.
    """
    account = Account(name=HUB_ACCOUNT, namespace=namespace)
    return (
        made("v1", "Namespace", namespace),
        *account.identity(),
        *account.roles(EVERYWHERE, OWN),
    )
