"""A fake API server over HTTP: objects in a dict, and faults on order.

It knows no schema, no admission and no owner of fields: an apply is a merge. What depends on those
is tested on a real API server.
"""

import asyncio
import itertools
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Reply = Callable[[web.Request], web.StreamResponse | None]
"""Answers in place of the fake, or returns None to let it answer."""

_WRONG_VERSION = "the object has been modified; please apply your changes to the latest version"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRequest:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class FakeKubeApi:
    """The server's state.

    Attributes:
        objects: By path.
        replies: Taken from the front, one for each request; None lets the fake answer.
        seen: All requests.
        page: Objects of one page of a list.
    """

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    replies: list[Reply | None] = field(default_factory=list)
    seen: list[SeenRequest] = field(default_factory=list)
    page: int = 500
    url: str = ""
    _versions: Any = field(default_factory=lambda: itertools.count(1))

    @property
    def methods(self) -> Counter[str]:
        """How often each method was asked for."""
        return Counter(one.method for one in self.seen)

    def put(self, path: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Have an object be there, as if somebody else had written it."""
        version = str(next(self._versions))
        metadata = {"uid": f"uid-{version}", **manifest["metadata"], "resourceVersion": version}
        self.objects[path] = {**manifest, "metadata": metadata}
        return self.objects[path]

    def kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig for this server."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "fake", "user": {"token": "a-token"}}],
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; a test may put its own in this place."""
        return await self.answer(request)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        text = await request.text()
        self.seen.append(
            SeenRequest(
                method=request.method,
                path=request.path,
                query=dict(request.query),
                headers=dict(request.headers),
                body=json.loads(text) if text else None,
            )
        )
        reply = self.replies.pop(0) if self.replies else None
        given = reply(request) if reply else None
        return given if given is not None else self._answer(self.seen[-1])

    def _answer(self, request: SeenRequest) -> web.StreamResponse:
        path = request.path.removesuffix("/status")
        live = self.objects.get(path)
        if request.method == "GET":
            if _is_collection(path):
                return self._list(request)
            return missing(path) if live is None else web.json_response(live)
        if request.method == "POST":
            path = f"{path}/{request.body['metadata']['name']}"
            if path in self.objects:
                return failure(409, "AlreadyExists", "it already exists")
            return web.json_response(self.put(path, request.body), status=201)
        if request.method == "PATCH":
            return self._patch(path, live, request)
        if live is None:
            return missing(path)
        expected = ((request.body or {}).get("preconditions") or {}).get("uid")
        if expected not in {None, live["metadata"]["uid"]}:
            return failure(409, "Conflict", "the uid does not match")
        return web.json_response(self.objects.pop(path))

    def _patch(
        self, path: str, live: dict[str, Any] | None, request: SeenRequest
    ) -> web.StreamResponse:
        is_apply = request.headers["Content-Type"] == "application/apply-patch+yaml"
        if live is None and (not is_apply or request.path.endswith("/status")):
            return missing(path)
        wanted = request.body.get("metadata") or {}
        if live is None:
            if wanted.get("uid"):
                return failure(409, "Conflict", "uid mismatch")
            return web.json_response(self.put(path, request.body), status=201)
        for name in ("resourceVersion", "uid"):
            if wanted.get(name) not in {None, live["metadata"][name]}:
                return failure(409, "Conflict", _WRONG_VERSION)
        return web.json_response(self.put(path, _merged(live, request.body)))

    def _list(self, request: SeenRequest) -> web.StreamResponse:
        plural = request.path.rsplit("/", 1)[-1]
        root = request.path.removesuffix(f"/{plural}")
        items = [
            {key: value for key, value in one.items() if key not in {"apiVersion", "kind"}}
            for path, one in sorted(self.objects.items())
            if path.startswith(f"{root}/") and path.split("/")[-2] == plural
            if _selects(request.query.get("fieldSelector", ""), one)
        ]
        start = int(request.query.get("continue", 0))
        more = str(start + self.page) if start + self.page < len(items) else ""
        metadata = {"resourceVersion": "77", "continue": more}
        return web.json_response({"metadata": metadata, "items": items[start : start + self.page]})


def _selects(fields: str, manifest: dict[str, Any]) -> bool:
    """Tell whether a field selector has an object; one of a name alone is understood."""
    name = fields.removeprefix("metadata.name=")
    return name in {fields, manifest["metadata"].get("name")}


def _is_collection(path: str) -> bool:
    """Tell whether a path ends with a plural: `/api/v1/pods`, `/apis/g/v1/namespaces/n/pods`."""
    parts = path.strip("/").split("/")
    return len(parts[3 if parts[0] == "apis" else 2 :]) % 2 == 1


def failure(
    status: int,
    reason: str,
    message: str,
    *,
    details: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> web.Response:
    """Return a refusal as API servers write it."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": status,
        "reason": reason,
        "message": message,
        "details": details or {},
    }
    return web.json_response(body, status=status, headers=headers)


def missing(path: str) -> web.Response:
    """Return what an API server says where there is no such object."""
    name = path.rsplit("/", 1)[-1]
    return failure(404, "NotFound", f"{name} not found", details={"name": name})


def refuse(status: int, reason: str = "Failed", message: str = "by order", **more: Any) -> Reply:
    """Return a fault: this refusal in place of an answer."""
    return lambda _request: failure(status, reason, message, **more)


def hang_up(request: web.Request) -> None:
    """Be a fault: the connection ends without an answer."""
    assert request.transport is not None
    request.transport.abort()


def _merged(live: Any, patch: Any) -> Any:
    if not isinstance(live, dict) or not isinstance(patch, dict):
        return patch
    merged = {key: _merged(live.get(key), value) for key, value in patch.items()}
    return {k: v for k, v in {**live, **merged}.items() if v is not None}


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Run an HTTP server on loopback and give its URL."""
    # Without routes, aiohttp's server gives handlers the base class of requests.
    server = web.Server(handler)  # type: ignore[arg-type]  # which has all that they use
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"{'https' if tls else 'http'}://{host}:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def fake_kube_api(tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeKubeApi]:
    """Run a fake API server."""
    fake = FakeKubeApi()
    async with serving(lambda request: fake.dispatch(request), tls) as url:
        fake.url = url
        yield fake


async def stay_silent(_request: web.Request) -> web.Response:
    """Be a handler that answers nobody."""
    await asyncio.Event().wait()
    raise AssertionError("nobody sets the event")
