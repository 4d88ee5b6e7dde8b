"""Requests that wait for a model that does not come: they are answered after its start timeout.

A replica that runs answers for itself. This is for what happens before there is one: an import
that fails, a process that is killed at its start, a replica that fits nowhere. Serve holds requests
for such an application in the head's fallback proxy until their own timeout, and removing the
application does not release them. So the guard sits in that proxy: Serve loads `middlewares` there
by `RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`. Requests to running replicas never pass it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import IndexConfig
from smallmodel_serving.runtime.asgi import (
    Application,
    Message,
    Receive,
    RequestError,
    Scope,
    Send,
    send_error,
)

_log: Final = logging.getLogger(__name__)

_PERIOD_SECONDS: Final = 1.0
_STALE: Final = 0.9
"""Share of a period after which what was seen is looked at anew."""
_PROXY_ACTOR: Final = "SERVE_PROXY_ACTOR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Starting:
    """How far a model's application is from answering."""

    running: int
    """Replicas that run."""
    failed: str | None
    """Why Serve gave up on it; None while it did not."""
    start_timeout: float
    """Seconds that a request waits for a first replica."""


def verdict(starting: Starting | None, waited: float) -> RequestError | None:
    """Decide on a request that waited this long without an answer; None lets it wait on.

    Args:
        starting: The model's application, None where it is not known (yet).
        waited: Seconds since the request came.
    """
    if starting is None or starting.running:
        return None
    if starting.failed is not None:
        return RequestError(503, Reason.DEPLOY_FAILED, starting.failed)
    if waited < starting.start_timeout:
        return None
    return RequestError(
        503,
        Reason.START_TIMEOUT,
        f"No replica came up within {starting.start_timeout:.0f} s (`scaling.startTimeout`); "
        "see the model's conditions for what it waits for.",
    )


class Guard:
    """ASGI middleware of the fallback proxy."""

    def __init__(
        self,
        app: Application,
        observe: Callable[[], Mapping[str, Starting]],
        clock: Callable[[], float] = time.monotonic,
        period: float = _PERIOD_SECONDS,
    ) -> None:
        """Make it.

        Args:
            app: Serve's proxy.
            observe: Asks Serve's controller; blocks, so it runs in a thread. It is called only
                while a request waits, and once for all that wait.
            clock: Seconds, never going back.
            period: Seconds between two looks.
        """
        self._app = app
        self._observe = observe
        self._clock = clock
        self._period = period
        self._looking = asyncio.Lock()
        self._seen: Mapping[str, Starting] = {}
        self._seen_at = -1e9

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and answer it where nobody else will."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = self._clock()
        answered = asyncio.Event()

        async def note(message: Message) -> None:
            answered.set()
            await send(message)

        work = asyncio.ensure_future(self._app(scope, receive, note))
        waiting = asyncio.ensure_future(answered.wait())
        try:
            error = await self._wait(_model_of(scope["path"]), began, work, waiting)
            if error is None:
                await work
                return
        finally:
            waiting.cancel()
            if not work.done():
                work.cancel()
                await asyncio.wait((work,))
        if not answered.is_set():
            await send_error(send, error)

    async def _wait(
        self,
        model: str,
        began: float,
        work: "asyncio.Future[Any]",
        waiting: "asyncio.Future[Any]",
    ) -> RequestError | None:
        while True:
            done, _ = await asyncio.wait(
                (work, waiting), timeout=self._period, return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                return None
            error = verdict((await self._look()).get(model), self._clock() - began)
            if error is not None:
                _log.warning("%s: a held request is answered: %s", model, error.message)
                return error

    async def _look(self) -> Mapping[str, Starting]:
        async with self._looking:
            if self._clock() - self._seen_at >= self._period * _STALE:
                try:
                    self._seen = await asyncio.to_thread(self._observe)
                except Exception:
                    # The controller may be restarting; requests wait on, up to their own timeout.
                    _log.exception("Serve's controller could not be asked")
                self._seen_at = self._clock()
            return self._seen


def _model_of(path: str) -> str:
    """Return the application that a path is for: routes are `/<name>`, and names have no slash."""
    return path.split("/", 2)[1] if path.startswith("/") else ""


def observe_serve() -> Mapping[str, Starting]:
    """Ask Serve's controller how far each application is; blocks."""
    from ray import serve
    from ray.serve.schema import ApplicationStatus, ReplicaState

    from smallmodel_operator.api.names import INDEX_APPLICATION
    from smallmodel_operator.api.serving import INDEX_DEPLOYMENT, MODEL_DEPLOYMENT

    applications = serve.status().applications
    found = {}
    timeouts: dict[str, float] = {}
    if INDEX_APPLICATION in applications:
        handle = serve.get_deployment_handle(INDEX_DEPLOYMENT, INDEX_APPLICATION)
        config = IndexConfig.model_validate(handle.config.remote().result(timeout_s=2))
        timeouts = {model.name: model.start_timeout_seconds for model in config.models}
    for name, timeout in timeouts.items():
        if name not in applications:
            continue
        application = applications[name]
        deployment = application.deployments.get(MODEL_DEPLOYMENT)
        states = deployment.replica_states if deployment else {}
        failed = application.status in (
            ApplicationStatus.DEPLOY_FAILED,
            ApplicationStatus.UNHEALTHY,
        )
        said = deployment.message if deployment and deployment.message else application.message
        found[name] = Starting(
            running=states.get(ReplicaState.RUNNING, 0),
            failed=_last_line(said) if failed else None,
            start_timeout=timeout,
        )
    return found


def _last_line(message: str) -> str:
    """Return what a traceback ends with: the error, without the code around it."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    said = lines[-1] if lines else "no message"
    return f"Serve could not start the application: {said[:500]}"


def middlewares() -> list[Any]:
    """Return the middlewares of this actor; `RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH`.

    Serve calls it in its proxies and in every replica. A replica needs no guard, and each request
    would pay for it.
    """
    import ray
    from starlette.middleware import Middleware

    name = ray.get_runtime_context().get_actor_name() or ""
    if not name.startswith(_PROXY_ACTOR):
        return []
    return [Middleware(Guard, observe=observe_serve)]
