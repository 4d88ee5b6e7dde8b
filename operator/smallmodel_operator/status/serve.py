"""What Ray Serve says of its applications, read from `GET /api/serve/applications/`.

KubeRay's own status has no number of replicas, and calls an application healthy at zero of them.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from smallmodel_operator.api.serving import EngineReport, EngineReports, ModelArgs

_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")
_TRACE_START: Final = re.compile(
    r"Traceback \(most recent call last\)|ray::|^\s*File \"", re.MULTILINE
)
_ERROR_LINE: Final = re.compile(r"^[\w.]+(?:Error|Exception|Exit|Interrupt)\b.*$", re.MULTILINE)
_HINTS: Final = re.compile(
    r"This may be due to a problem with its constructor or initial health check failing\. "
    r"|See controller logs for details\. "
)
_MESSAGE_MAX: Final = 600

_HEALTHY: Final = "RUNNING"
_FAILED: Final = frozenset({"DEPLOY_FAILED", "UNHEALTHY"})
_BUSIEST_FIRST: Final = ("Awake", "Loading", "Asleep", "Failed")
_REPLICA_RUNS: Final = frozenset({"RUNNING", "PENDING_MIGRATION"})
"""The second goes on until another took its place, when its node is drained."""


class ServeAnswerUnreadable(Exception):
    """What answered for Ray's dashboard or for `_index` did not send the form that it promises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedApplication:
    """What Serve says of one application."""

    name: str
    status: str
    """Serve's own word, such as RUNNING or DEPLOY_FAILED."""
    healthy: bool
    failed: bool
    """Serve gave up, or marks the application or a deployment of it unhealthy."""
    replicas: int
    """Replicas that run."""
    target_replicas: int | None
    """Replicas that Serve's autoscaler wants now; unset where Serve did not say."""
    deployed_at: float
    """When its config was last taken, in seconds since the epoch."""
    message: str
    """Cleaned and shortened."""
    args: ModelArgs | None = None
    """What it was given last; unset where Serve did not say, and for `_index`."""
    engine: EngineReport | None = None
    """Of the busiest replica; unset where none runs, or where `_index` did not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedDeployment:
    """What Serve says of one deployment of an application."""

    status: str
    message: str
    replicas: int
    target_replicas: int | None = None


class _RayModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Replica(_RayModel):
    state: str


class _Deployment(_RayModel):
    status: str
    message: str = ""
    target_num_replicas: int = 0
    replicas: tuple[_Replica, ...] = ()


class _Config(_RayModel):
    args: dict[str, Any] = {}


class _Application(_RayModel):
    status: str
    message: str = ""
    last_deployed_time_s: float
    deployed_app_config: _Config | None = None
    deployments: dict[str, _Deployment] = {}


class _Instance(_RayModel):
    """Ray's `ServeInstanceDetails`, of which the dashboard sends much more."""

    applications: dict[str, _Application]


def read_applications(answer: str | bytes) -> tuple[ServedApplication, ...]:
    """Return what the dashboard's answer says of each application, sorted by name.

    Raises:
        ServeAnswerUnreadable: The answer is no JSON, or has another form.
    """
    try:
        instance = _Instance.model_validate_json(answer)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the answer"
        raise ServeAnswerUnreadable(
            f"Ray's dashboard answered something else than the state of Serve: {where}: "
            f"{first['msg']}"
        ) from error
    return tuple(_read(name, seen) for name, seen in sorted(instance.applications.items()))


def read_engines(answer: str | bytes) -> dict[str, EngineReport]:
    """Return what `_index` says of the busiest engine of each model, by the model's name.

    Raises:
        ServeAnswerUnreadable: The answer is no JSON, or has another form.
    """
    try:
        reports = EngineReports.model_validate_json(answer)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ServeAnswerUnreadable(
            f"`_index` answered something else than what its engines do: {first['msg']}"
        ) from error
    return busiest(reports.engines)


def busiest(reports: Iterable[EngineReport]) -> dict[str, EngineReport]:
    """Return the report of each model's busiest replica, by the model's name."""
    ranked = sorted(reports, key=lambda report: _BUSIEST_FIRST.index(report.state), reverse=True)
    return {report.model: report for report in ranked}


def with_engines(
    applications: Mapping[str, ServedApplication], engines: Mapping[str, EngineReport]
) -> dict[str, ServedApplication]:
    """Return the applications with what their engines do; one without a replica has none."""
    return {
        name: replace(seen, engine=engines.get(name) if seen.replicas else None)
        for name, seen in applications.items()
    }


def _read(name: str, seen: _Application) -> ServedApplication:
    deployments = tuple(
        ServedDeployment(
            status=deployment.status,
            message=deployment.message,
            replicas=sum(r.state in _REPLICA_RUNS for r in deployment.replicas),
            target_replicas=deployment.target_num_replicas,
        )
        for _, deployment in sorted(seen.deployments.items())
    )
    config = seen.deployed_app_config
    return served_application(
        name,
        status=seen.status,
        message=seen.message,
        deployed_at=seen.last_deployed_time_s,
        deployments=deployments,
        args=_arguments(config.args) if config else None,
    )


def served_application(
    name: str,
    *,
    status: str,
    message: str,
    deployed_at: float,
    deployments: tuple[ServedDeployment, ...],
    args: ModelArgs | None = None,
) -> ServedApplication:
    """Return one application, judged by its own state and by that of its deployments.

    An application goes on to be called RUNNING for a while after its deployment failed.
    """
    messages = [message, *(deployment.message for deployment in deployments)]
    return ServedApplication(
        name=name,
        status=status,
        healthy=status == _HEALTHY,
        failed=bool(_FAILED & {status, *(deployment.status for deployment in deployments)}),
        replicas=sum(deployment.replicas for deployment in deployments),
        target_replicas=_sum(deployment.target_replicas for deployment in deployments),
        deployed_at=deployed_at,
        message=clean(" ".join(filter(None, messages))),
        args=args,
    )


def _sum(numbers: Iterable[int | None]) -> int | None:
    """Return the sum, or None where a number is not known: unknown is never taken for zero."""
    known = list(numbers)
    return None if None in known else sum(number or 0 for number in known)


def _arguments(given: dict[str, Any]) -> ModelArgs | None:
    """Return a model's arguments; None where they are no model's, or of another contract."""
    try:
        return ModelArgs.model_validate(given)
    except ValidationError:
        return None


def clean(message: str) -> str:
    """Return Serve's message without colours and tracebacks, cut to what a person reads.

    Of a traceback the line that names the error is kept, since Ray appends lines of its own.
    """
    plain = _HINTS.sub("", _ANSI.sub("", message))
    before, *trace = _TRACE_START.split(plain, maxsplit=1)
    errors = _ERROR_LINE.findall("".join(trace))
    joined = " ".join(f"{before} {errors[-1] if errors else ''}".split())
    return joined if len(joined) <= _MESSAGE_MAX else joined[: _MESSAGE_MAX - 1] + "…"
