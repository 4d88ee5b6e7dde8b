"""A fake API server of one kind: answers to lists and watches, one after the other, on order."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from builders.fake_kube_api import failure

Script = Callable[[web.Request], Awaitable[web.StreamResponse]]


def pod(name: str, version: int) -> dict[str, Any]:
    """A pod without anything in it."""
    metadata = {"namespace": "team", "name": name, "resourceVersion": str(version)}
    return {"metadata": metadata | {"uid": name}}


def listed(*names: str, version: str = "10") -> Script:
    """Answer a list."""

    async def answer(_: web.Request) -> web.StreamResponse:
        items = [pod(name, 1) for name in names]
        return web.json_response({"metadata": {"resourceVersion": version}, "items": items})

    return answer


def event(kind: str, name: str, version: int) -> str:
    """One line of a watch."""
    return json.dumps({"type": kind, "object": pod(name, version)})


def bookmark(version: int) -> str:
    """The line that tells how far a watch is."""
    return json.dumps(
        {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}}
    )


def expired() -> str:
    """The line that tells that a watch cannot go on."""
    told = {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired"}
    return json.dumps({"type": "ERROR", "object": told | {"message": "too old resource version"}})


def told(*lines: str, then: str = "end") -> Script:
    """Answer a watch.

    Args:
        lines: What is told.
        then: `end`: the answer is whole; `cut`: the connection breaks; `silence`: nothing more
            comes.
    """

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for line in lines:
            data = f"{line}\n".encode()
            # In two pieces, since lines have no part in how bytes arrive.
            await response.write(data[:7])
            await response.write(data[7:])
        if then == "cut":
            assert request.transport is not None
            request.transport.abort()
        if then == "silence":
            await asyncio.Event().wait()
        return response

    return answer


def refused(status: int, reason: str = "Failed", **more: Any) -> Script:
    """Answer with a refusal."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return failure(status, reason, "by order", **more)

    return answer


@dataclass
class FakeWatchedApi:
    """The server.

    Attributes:
        lists: Answers to lists; the last one stays.
        watches: Answers to watches; after the last one, nothing is told any more.
        seen: The queries, in order.
    """

    lists: list[Script]
    watches: list[Script] = field(default_factory=list)
    seen: list[dict[str, str]] = field(default_factory=list)

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.seen.append(dict(request.query))
        if "watch" not in request.query:
            script = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        else:
            script = self.watches.pop(0) if self.watches else told(then="silence")
        return await script(request)

    def versions(self) -> list[str | None]:
        """Return from which versions was watched; None stands for a list."""
        return [query.get("resourceVersion") for query in self.seen]
