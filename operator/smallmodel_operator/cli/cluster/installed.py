"""Where the operator and its gateway are installed in a cluster."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from smallmodel_operator.cli.cluster.reading import read_pod
from smallmodel_operator.cli.cluster.session import CHART, Session
from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.settings import PREFIX, Settings, SettingsError

Manifest = Mapping[str, Any]

GATEWAY_LABELS: Final = "app.kubernetes.io/name=smallmodel-gateway"
OPERATOR_LABELS: Final = "app.kubernetes.io/component=operator,app.kubernetes.io/part-of=smallmodel"
GATEWAY_PORT: Final = 8080
OPERATOR_CONTAINER: Final = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A Deployment of the installation.

    Attributes:
        name: Its name.
        namespace: Where it is.
        ready: Pods that are ready.
        wanted: Pods that there are to be.
        environment: Literal variables of its main container.
    """

    name: str
    namespace: str
    ready: int
    wanted: int
    environment: Mapping[str, str]


async def find_installed(session: Session, labels: str) -> tuple[Installed, ...]:
    """Return the Deployments with these labels in all namespaces, by namespace and name.

    Raises:
        ApiError: They could not be read.
    """
    from smallmodel_operator.clusters.ref import DEPLOYMENTS

    found, _ = await session.api.list(DEPLOYMENTS, labels=labels)
    return tuple(sorted(map(_installed, found), key=lambda one: (one.namespace, one.name)))


def settings_of(operator: Installed) -> Settings | None:
    """Return the operator's settings, as its Deployment has them; None where they are not there."""
    own = {f"{PREFIX}NAMESPACE": operator.namespace}
    try:
        return Settings.from_environment({**operator.environment, **own})
    except SettingsError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A pod of the gateway that answers."""

    namespace: str
    pod: str


async def find_gateway(session: Session) -> Gateway:
    """Return a pod of the gateway that is ready.

    Raises:
        ApiError: The gateway could not be looked for.
        CommandError: There is none, or none is ready.
    """
    from smallmodel_operator.clusters.ref import PODS

    gateways = await find_installed(session, GATEWAY_LABELS)
    if not gateways:
        raise CommandError(
            "no gateway is installed: no namespace has a Deployment with the label "
            f"{GATEWAY_LABELS}. Install the chart with gateway.enabled=true: `{CHART}`",
            ExitCode.NOT_FOUND,
        )
    troubles: list[str] = []
    for gateway in gateways:
        pods, _ = await session.api.list(PODS, gateway.namespace, labels=GATEWAY_LABELS)
        for pod in sorted(map(read_pod, pods), key=lambda pod: pod.name):
            if pod.ready:
                return Gateway(namespace=gateway.namespace, pod=pod.name)
            troubles.append(f"{pod.name} is {pod.phase} {pod.trouble}".rstrip())
    where = gateways[0]
    seen = "; ".join(troubles) or "it has no pod"
    raise CommandError(
        f"the gateway {where.namespace}/{where.name} has no pod that is ready: {seen}. "
        f"`kubectl{session.access.words()} -n {where.namespace} describe deployment {where.name}` "
        "says more"
    )


@asynccontextmanager
async def gateway_port(session: Session, local_port: int = 0) -> AsyncIterator[str]:
    """Lead a port on loopback to the gateway, and yield the base URL of the namespace's models.

    Raises:
        ApiError: The gateway could not be found or reached.
        CommandError: There is no gateway, or the local port is taken.
    """
    from smallmodel_operator.clusters.forward import forward
    from smallmodel_operator.clusters.ref import PODS

    gateway = await find_gateway(session)
    pod = PODS.ref(gateway.pod, gateway.namespace)
    try:
        async with forward(session.api, pod, GATEWAY_PORT, local_port=local_port) as port:
            yield f"http://127.0.0.1:{port}/{session.namespace}/v1"
    except OSError as error:
        raise CommandError(
            f"port {local_port} cannot be listened on: {error.strerror}; choose another --port, "
            "or leave it out for any free one",
            ExitCode.PORT_TAKEN,
        ) from error


def _installed(deployment: Manifest) -> Installed:
    spec, status = deployment["spec"], deployment.get("status") or {}
    containers = spec["template"]["spec"].get("containers") or ()
    main = next(
        (one for one in containers if one["name"] == OPERATOR_CONTAINER),
        containers[0] if containers else {},
    )
    return Installed(
        name=deployment["metadata"]["name"],
        namespace=deployment["metadata"]["namespace"],
        ready=status.get("readyReplicas", 0),
        wanted=spec.get("replicas", 1),
        environment={
            one["name"]: one["value"] for one in main.get("env") or () if one.get("value")
        },
    )
