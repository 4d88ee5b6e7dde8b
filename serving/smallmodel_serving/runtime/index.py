"""The `_index` application: always healthy, and knows the models. No model's traffic passes here.

It runs on the head, where the guard of held requests asks it for the models' start timeouts.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ray import serve

from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import (
    ENGINES_PATH,
    INDEX_DEPLOYMENT,
    EngineReport,
    EngineReports,
    IndexConfig,
)
from smallmodel_serving.runtime import engines, parked
from smallmodel_serving.runtime.asgi import (
    Application,
    Receive,
    RequestError,
    Scope,
    Send,
    send_error,
    send_json,
)


class IndexApplication:
    """Answers `/healthz`, `/engines` and `/v1/models`."""

    def __init__(
        self,
        beside: Callable[[], Awaitable[None]],
        engines: Callable[[], tuple[EngineReport, ...]],
    ) -> None:
        """Make it.

        Args:
            beside: Runs from the application's start to its end.
            engines: Tells what the engines of the pool do; blocks, so it runs in a thread.
        """
        self.config = IndexConfig()
        self._beside = beside
        self._engines = engines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; also answers to the application's start and end."""
        if scope["type"] == "lifespan":
            await receive()
            work = asyncio.ensure_future(self._beside())
            await send({"type": "lifespan.startup.complete"})
            await receive()
            work.cancel()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "http":
            await self._answer(scope["path"][len(scope.get("root_path", "")) :], send)

    async def _answer(self, path: str, send: Send) -> None:
        if path == "/healthz":
            await send_json(send, {"status": "ok", "models": len(self.config.models)})
        elif path == ENGINES_PATH:
            found = EngineReports(engines=await asyncio.to_thread(self._engines))
            await send_json(send, found.model_dump(mode="json", by_alias=True))
        elif path == "/v1/models":
            models = [
                {"id": model.name, "object": "model", "created": 0, "owned_by": "smallmodel"}
                for model in self.config.models
            ]
            await send_json(send, {"object": "list", "data": models})
        else:
            names = ", ".join(f"/{model.name}/v1" for model in self.config.models) or "none yet"
            message = f"{path} is not served here; models are served below: {names}."
            await send_error(send, RequestError(404, Reason.UNKNOWN_MODEL, message))


@serve.deployment(name=INDEX_DEPLOYMENT)
@serve.ingress()
class Index:
    """The one replica of the `_index` application."""

    def __init__(self) -> None:
        self._application = IndexApplication(self._keep_gauge, engines.published)

    async def _keep_gauge(self) -> None:
        def names() -> tuple[str, ...]:
            return tuple(model.name for model in self._application.config.models)

        await parked.keep_gauge(parked.ray_gauge(), names, parked.observe_serve)

    def __serve_build_asgi_app__(self) -> Application:
        """Return the application."""
        return self._application

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Take the list of models, without a restart."""
        self._application.config = IndexConfig.model_validate(user_config)

    def config(self) -> dict[str, Any]:
        """Return the list of models, for the guard."""
        return self._application.config.model_dump()


def build_index(args: dict[str, Any]) -> serve.Application:
    """Return the `_index` application. It takes no arguments: its models come by `user_config`."""
    return Index.bind()  # type: ignore[attr-defined]  # Serve's decorators have no types.
