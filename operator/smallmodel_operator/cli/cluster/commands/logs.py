"""`slm logs` of a cluster: what the pods of a model wrote, as far as `kubectl logs` has it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import LABEL_JOB, LABEL_POOL
from smallmodel_operator.cli.cluster.installed import GATEWAY_LABELS, OPERATOR_LABELS
from smallmodel_operator.cli.cluster.options import (
    Access,
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
)
from smallmodel_operator.cli.cluster.reading import (
    Manifest,
    SeenModel,
    read_model,
    read_placement,
)
from smallmodel_operator.cli.cluster.session import Session, ask
from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.cli.output import print_note, print_text
from smallmodel_operator.plan.pools.fetchjob import job_name

_RAY_LOGS = "/tmp/ray/session_latest/logs"  # noqa: S108 - a folder in Ray's own pods


@dataclass(frozen=True, slots=True, kw_only=True)
class _Log:
    namespace: str
    pod: str
    container: str
    text: str


def logs(
    name: Annotated[str | None, typer.Argument(help="The SmallModel's name.")] = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    lines: Annotated[
        int, typer.Option("--lines", "--tail", min=1, help="How many last lines of each container.")
    ] = 50,
    previous: Annotated[
        bool, typer.Option("--previous", "-p", help="Of the containers before a restart.")
    ] = False,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Only what the Job wrote that fetches the weights.")
    ] = False,
    operator: Annotated[bool, typer.Option("--operator", help="The operator's log.")] = False,
    gateway: Annotated[bool, typer.Option("--gateway", help="The gateway's logs.")] = False,
) -> None:
    """Print the logs of a model's fetch Job and of its pool's pods, or of what serves them all."""
    if [name is not None, operator, gateway].count(True) != 1:
        raise CommandError(
            "say whose logs: the NAME of a model, or --operator, or --gateway, and only one of "
            "them",
            ExitCode.USAGE,
        )
    access = Access(context=context, kubeconfig=kubeconfig, namespace=namespace)
    query = {"tailLines": str(lines), **({"previous": "true"} if previous else {})}

    async def work(session: Session) -> tuple[_Log, ...]:
        if name is None:
            labels = OPERATOR_LABELS if operator else GATEWAY_LABELS
            what = "operator" if operator else "gateway"
            return await _of_installation(session, labels, what, query)
        return await _of_model(session, name, query, fetch_only=fetch)

    found = ask(access, work)
    for log in found:
        if len(found) > 1:
            print_note(f"==> {log.namespace}/{log.pod} {log.container} <==")
        if log.text:
            print_text(log.text.rstrip("\n"))
    if name is not None and not fetch:
        for hint in _hints(access, name, found):
            print_note(hint)


async def _of_installation(
    session: Session, labels: str, what: str, query: dict[str, str]
) -> tuple[_Log, ...]:
    from smallmodel_operator.clusters.ref import PODS

    pods, _ = await session.api.list(PODS, labels=labels)
    if not pods:
        raise CommandError(
            f"no namespace has a pod of the {what}, with the labels {labels}; "
            f"`slm doctor{session.access.words()}` tells what is installed",
            ExitCode.NOT_FOUND,
        )
    return await _read(session, pods, query)


async def _of_model(
    session: Session, name: str, query: dict[str, str], *, fetch_only: bool
) -> tuple[_Log, ...]:
    from smallmodel_operator.clusters.ref import PODS

    model = await read_model(session, name)
    placement = await read_placement(session, name)
    found: list[dict[str, Any]] = []
    labels = _fetch_labels(model, placement)
    if labels is not None:
        found, _ = await session.api.list(PODS, session.namespace, labels=labels)
    if not fetch_only:
        pools = {copy.pool for copy in model.status.copies}
        if isinstance(placement, ModelPlacement):
            pools.add(placement.status.moving_to)
        for pool in sorted(filter(None, pools)):
            listed, _ = await session.api.list(
                PODS, session.namespace, labels=f"{LABEL_POOL}={pool}"
            )
            found += listed
    if not found:
        rest = (
            "The Job that fetched its weights is gone, with its log"
            if fetch_only
            else f"It is {model.state}"
        )
        raise CommandError(
            f"SmallModel {session.namespace}/{name} has no pod, so there is no log. {rest}; "
            f"`slm describe {name} -n {session.namespace}{session.access.words()}` says why",
            ExitCode.NOT_FOUND,
        )
    return await _read(session, found, query)


def _fetch_labels(model: SeenModel, placement: ModelPlacement | str | None) -> str | None:
    """Return what the pods have that fetch a model's weights; None where nothing is fetched."""
    if isinstance(placement, ModelPlacement):
        return f"{LABEL_JOB}={job_name(placement.spec.weights)}"
    if placement is None and "source" not in model.manifest["spec"]:
        return None
    # Which Job it is cannot be told, so all of the namespace are shown.
    return "app.kubernetes.io/component=fetch"


async def _read(
    session: Session, pods: list[dict[str, object]], query: dict[str, str]
) -> tuple[_Log, ...]:
    return tuple(
        [
            await _log(session, pod, container, query)
            for pod in sorted(pods, key=_key)
            for container in _containers(pod)
        ]
    )


async def _log(session: Session, pod: Manifest, container: str, query: dict[str, str]) -> _Log:
    from smallmodel_operator.clusters import errors
    from smallmodel_operator.clusters.ref import PODS

    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    try:
        text = await session.api.read_subresource(
            PODS.ref(name, namespace), "log", query={**query, "container": container}
        )
    except (errors.Invalid, errors.NotFound) as error:
        # A container that has not started, or whose node forgot it. The others still have theirs.
        print_note(f"{namespace}/{name} {container}: {error}")
        text = ""
    return _Log(namespace=namespace, pod=name, container=container, text=text)


def _key(pod: Manifest) -> tuple[str, str]:
    return pod["metadata"].get("creationTimestamp") or "", pod["metadata"]["name"]


def _containers(pod: Manifest) -> list[str]:
    return [container["name"] for container in (pod.get("spec") or {}).get("containers") or ()]


def _hints(access: Access, name: str, found: tuple[_Log, ...]) -> Iterator[str]:
    """Yield where the engine's own words are, which Ray keeps in files inside its pods."""
    serving = [log for log in found if log.container.startswith("ray-worker")]
    if not serving:
        return
    yield "Ray keeps what replicas and engines write in files of its pods. Read them by"
    for log in serving:
        yield (
            f"  kubectl{access.words()} -n {log.namespace} exec {log.pod} -- sh -c "
            f"'tail -n 50 {_RAY_LOGS}/serve/replica_{name}_*.log {_RAY_LOGS}/worker-*.err'"
        )
