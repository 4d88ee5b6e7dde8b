"""What commands read of a cluster: SmallModels, and what serves them."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from smallmodel_operator.api.base import human_bytes
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import LOCAL_CLUSTER, placement_name, placement_namespace
from smallmodel_operator.api.smallmodel import SmallModelStatus
from smallmodel_operator.cli.cluster.session import Session
from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.status.state import State, state

Manifest = Mapping[str, Any]

_DEFAULT_REPLICAS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenModel:
    """A SmallModel as the API server has it."""

    manifest: Manifest
    metadata: ObjectMeta
    status: SmallModelStatus
    weights: str
    """What the spec asks for: a card's name, or where the weights are."""
    most_replicas: int
    """As the spec says."""
    least_replicas: int

    @property
    def state(self) -> State:
        """The word for its status."""
        return State.PENDING if not self.status.conditions else state(self.status)

    @property
    def current(self) -> bool:
        """Whether the status speaks of the spec as it is now."""
        return self.status.observed_generation == self.metadata.generation


def read_seen(manifest: Manifest) -> SeenModel:
    """Return a SmallModel of the API server.

    The spec was checked by the API server, and only what is shown of it is read, so that one of a
    newer version can be shown, too.

    Raises:
        CommandError: Its status is that of another version.
    """
    metadata = manifest["metadata"]
    spec = manifest.get("spec") or {}
    scaling = spec.get("scaling") or {}
    try:
        status = SmallModelStatus.model_validate(manifest.get("status") or {})
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise CommandError(
            f"the status of SmallModel {metadata['namespace']}/{metadata['name']} has a {field} "
            "that this version of slm does not know; take the slm of the operator's version"
        ) from error
    return SeenModel(
        manifest=manifest,
        metadata=ObjectMeta.model_validate(metadata),
        status=status,
        weights=spec.get("model") or (spec.get("source") or {}).get("uri", ""),
        most_replicas=scaling.get("maxReplicas", _DEFAULT_REPLICAS),
        least_replicas=scaling.get("minReplicas", 0),
    )


async def read_models(session: Session, *, everywhere: bool) -> tuple[SeenModel, ...]:
    """Return the SmallModels of the namespace, or of all, by namespace and name.

    Raises:
        ApiError: They could not be read.
        CommandError: There is no such namespace.
    """
    from smallmodel_operator.clusters.ref import SMALLMODELS

    items, _ = await session.api.list(SMALLMODELS, None if everywhere else session.namespace)
    if not items and not everywhere:
        await _namespace_is_there(session)
    seen = [read_seen(item) for item in items]
    return tuple(sorted(seen, key=lambda one: (one.metadata.namespace, one.metadata.name)))


async def read_model(session: Session, name: str) -> SeenModel:
    """Return the SmallModel of that name.

    Raises:
        ApiError: It could not be read.
        CommandError: There is none.
    """
    from smallmodel_operator.clusters.ref import SMALLMODELS

    found = await session.api.get(SMALLMODELS.ref(name, session.namespace))
    if found is not None:
        return read_seen(found)
    names = [one.metadata.name for one in await read_models(session, everywhere=False)]
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        hint = f"did you mean {near[0]}?"
    elif names:
        hint = f"the models there are {', '.join(names)}"
    else:
        hint = f"it has none; `slm get -A{session.access.words()}` lists those of all namespaces"
    raise CommandError(
        f"no SmallModel {name!r} in namespace {session.namespace}; {hint}", ExitCode.NOT_FOUND
    )


async def read_placement(session: Session, name: str) -> ModelPlacement | str | None:
    """Return where a model is placed; None: nowhere; a text: why that could not be read."""
    from smallmodel_operator.clusters import errors
    from smallmodel_operator.clusters.ref import MODELPLACEMENTS

    namespace = placement_namespace(LOCAL_CLUSTER)
    ref = MODELPLACEMENTS.ref(placement_name(session.namespace, name), namespace)
    try:
        found = await session.api.get(ref)
    except errors.Forbidden:
        return f"you may not read ModelPlacements of namespace {namespace}"
    if found is None:
        return None
    try:
        return ModelPlacement.model_validate(found)
    except ValidationError:
        return f"{ref} is of another version than this slm"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPod:
    """A pod, as far as its state explains a model's."""

    name: str
    role: str
    phase: str
    ready: bool
    node: str
    trouble: str
    """What the kubelet or the scheduler says of it."""


def read_pod(manifest: Manifest) -> SeenPod:
    """Return what explains a model's state of one of its pods."""
    status = manifest.get("status") or {}
    labels = manifest["metadata"].get("labels") or {}
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    return SeenPod(
        name=manifest["metadata"]["name"],
        role=labels.get("ray.io/node-type") or labels.get("app.kubernetes.io/component") or "",
        phase=status.get("phase", ""),
        ready=(conditions.get("Ready") or {}).get("status") == "True",
        node=(manifest.get("spec") or {}).get("nodeName", ""),
        trouble=_trouble(status, conditions),
    )


async def read_pods(session: Session, selector: str) -> tuple[SeenPod, ...]:
    """Return the pods of the namespace with these labels, by name.

    Raises:
        ApiError: They could not be read.
    """
    from smallmodel_operator.clusters.ref import PODS

    found, _ = await session.api.list(PODS, session.namespace, labels=selector)
    return tuple(sorted((read_pod(pod) for pod in found), key=lambda pod: pod.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenEvent:
    """One event."""

    at: str
    type: str
    reason: str
    message: str
    count: int


async def read_events(session: Session, kind: str, name: str) -> tuple[SeenEvent, ...]:
    """Return the events of an object of the namespace, oldest first.

    Raises:
        ApiError: They could not be read.
    """
    from smallmodel_operator.clusters.ref import EVENTS

    found: list[SeenEvent] = []
    async for page in session.api.pages(EVENTS, session.namespace):
        for item in page.items:
            about = item.get("regarding") or {}
            if (about.get("kind"), about.get("name")) == (kind, name):
                found.append(_event(item))
    return tuple(sorted(found, key=lambda event: event.at))


def _event(item: Manifest) -> SeenEvent:
    series = item.get("series") or {}
    at = series.get("lastObservedTime") or item.get("eventTime") or item.get(
        "deprecatedLastTimestamp"
    )  # fmt: skip
    return SeenEvent(
        at=str(at or item["metadata"].get("creationTimestamp") or "").partition(".")[0],
        type=item.get("type", ""),
        reason=item.get("reason", ""),
        message=item.get("note", ""),
        count=series.get("count") or item.get("deprecatedCount") or 1,
    )


def _trouble(status: Manifest, conditions: Mapping[str, Manifest]) -> str:
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        return str(scheduled.get("message", ""))
    for container in (
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ):
        states = container.get("state") or {}
        waiting, ended = states.get("waiting"), states.get("terminated")
        if waiting and waiting.get("reason") not in {"ContainerCreating", "PodInitializing"}:
            return ": ".join(filter(None, (waiting.get("reason"), waiting.get("message"))))
        if ended and ended.get("exitCode"):
            return f"ended with {ended['exitCode']}: {ended.get('reason', '')}"
    return ""


async def _namespace_is_there(session: Session) -> None:
    from smallmodel_operator.clusters import errors
    from smallmodel_operator.clusters.ref import NAMESPACES

    try:
        found = await session.api.get(NAMESPACES.ref(session.namespace))
    except errors.Forbidden:
        # Who may not look has to take the empty list as it is.
        return
    if found is None:
        raise CommandError(
            f"there is no namespace {session.namespace!r} in this cluster; give another one by "
            f"-n, or make it: `kubectl{session.access.words()} create namespace "
            f"{session.namespace}`",
            ExitCode.NOT_FOUND,
        )


def memory_text(byte_count: int | None) -> str:
    """Return bytes for people; nothing where they are not known."""
    return human_bytes(byte_count) if byte_count else ""
