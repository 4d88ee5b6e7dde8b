"""An API server that is simulated: objects in memory, with versions, watches and finalizers.

It knows no schema, no admission and no owners of fields: of each object one program writes the
spec, so an apply puts what it says in the place of what was there.
"""

import asyncio
import datetime
import itertools
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self
from uuid import uuid4

from aiohttp import web

Manifest = dict[str, Any]

APPLY: Final = "application/apply-patch+yaml"
_REMEMBERED: Final = 2000
"""Events of one kind from before, for watches that begin at an older version."""
_BOOKMARK_SECONDS: Final = 50.0


@dataclass(frozen=True, slots=True)
class Place:
    """What a path leads to."""

    kind: str
    """The path of all objects of the kind: `/api/v1/pods`."""
    namespace: str
    name: str
    """Empty: all objects of the kind, or of the namespace."""
    subresource: str = ""

    @classmethod
    def of(cls, path: str) -> Self:
        """Read a path."""
        parts = path.strip("/").split("/")
        root, rest = (parts[:3], parts[3:]) if parts[0] == "apis" else (parts[:2], parts[2:])
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        name, subresource = [*rest[1:3], "", ""][:2]
        return cls("/".join(["", *root, rest[0]]), namespace, name, subresource)

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name


class Refusal(Exception):
    """The call is not done."""

    def __init__(self, status: int, reason: str, name: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.body = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": status,
            "reason": reason,
            "message": f"{reason}: {name}",
            "details": {"name": name} if name else {},
        }


@dataclass(frozen=True, slots=True)
class _Event:
    version: int
    namespace: str
    line: bytes


@dataclass(slots=True)
class _Kind:
    """All objects of one kind."""

    objects: dict[tuple[str, str], Manifest] = field(default_factory=dict)
    events: deque[_Event] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    forgotten: int = 0
    """The version of the last event that is not remembered any more."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced by another one, with each event."""

    def since(self, version: int) -> list[_Event]:
        """Return the events after a version, in their order."""
        newest = itertools.takewhile(lambda one: one.version > version, reversed(self.events))
        return list(newest)[::-1]


class SimulatedApi:
    """The objects, and what is done with them."""

    def __init__(self, wrote: Callable[[Place, Manifest], None] = lambda *_: None) -> None:
        """Make it.

        Args:
            wrote: Called with what was made or changed, other than by `put`.
        """
        self._wrote = wrote
        self._kinds: dict[str, _Kind] = {}
        self._version = 0
        self.told: dict[str, Any] = {}
        """Answers for paths that lead to no object, such as `/version`."""

    def get(self, path: str) -> Manifest | None:
        """Return an object, or None."""
        place = Place.of(path)
        return self._kind(place).objects.get(place.key)

    def put(self, path: str, manifest: Manifest) -> Manifest:
        """Have an object be so, as if somebody in the cluster had written it."""
        return self._keep(Place.of(path), manifest)

    def put_status(self, path: str, status: Manifest) -> None:
        """Have the status of an object be so; nothing where there is no such object."""
        live = self.get(path)
        if live is not None:
            self._keep(Place.of(path), {**live, "status": status})

    def read(self, place: Place) -> Manifest:
        """Return an object.

        Raises:
            Refusal: There is none.
        """
        return self._live(place)

    def list(self, place: Place, *, on_nodes: bool = False) -> Manifest:
        """Return all objects of a kind, or of a namespace; with `on_nodes` pods that have one."""
        items = [
            one
            for (namespace, _), one in sorted(self._kind(place).objects.items())
            if place.namespace in {"", namespace}
            if not on_nodes or one["spec"].get("nodeName")
        ]
        return {"metadata": {"resourceVersion": str(self._version)}, "items": items}

    def create(self, place: Place, manifest: Manifest) -> Manifest:
        """Make an object.

        Raises:
            Refusal: One of that name is there.
        """
        name = manifest["metadata"]["name"]
        made = Place(place.kind, place.namespace, name)
        if made.key in self._kind(made).objects:
            raise Refusal(409, "AlreadyExists", name)
        return self._write(made, manifest)

    def patch(self, place: Place, patch: Manifest, *, applied: bool) -> tuple[Manifest, bool]:
        """Change an object, or make one that is applied.

        Returns:
            The object, and whether it was made.

        Raises:
            Refusal: There is none, or it is another version than the patch is for.
        """
        live = self._kind(place).objects.get(place.key)
        expected = patch.get("metadata") or {}
        if live is None:
            if not applied or place.subresource:
                raise Refusal(404, "NotFound", place.name)
            if expected.get("uid"):
                raise Refusal(409, "Conflict", place.name)
            return self._write(place, patch), True
        for what in ("uid", "resourceVersion"):
            if expected.get(what) not in {None, live["metadata"][what]}:
                raise Refusal(409, "Conflict", place.name)
        if place.subresource:
            changed = {**live, "status": patch["status"]}
        else:
            changed = _applied(live, patch) if applied else _merged(live, patch)
        return self._write(place, changed), False

    def delete(self, place: Place, options: Manifest) -> Manifest:
        """Delete an object, once nothing holds it.

        Raises:
            Refusal: There is none, or it is another one than was meant.
        """
        live = self._live(place)
        expected = (options.get("preconditions") or {}).get("uid")
        if expected not in {None, live["metadata"]["uid"]}:
            raise Refusal(409, "Conflict", place.name)
        if live["metadata"].get("finalizers"):
            ending = live["metadata"] | {"deletionTimestamp": now()}
            return self._keep(place, {**live, "metadata": ending})
        return self._drop(place, live)

    async def watch(
        self, place: Place, query: Mapping[str, str], say: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """Tell of changes from a version on, until the time that was asked for is over.

        Args:
            place: What is watched.
            query: As API servers take it.
            say: Sends a line.
        """
        kind, told = self._kind(place), int(query["resourceVersion"])
        loop = asyncio.get_running_loop()
        until = loop.time() + float(query["timeoutSeconds"])
        if told < kind.forgotten:
            await say(_line("ERROR", Refusal(410, "Expired").body))
            return
        while loop.time() < until:
            news, version = kind.news, self._version
            for event in kind.since(told):
                if place.namespace in {"", event.namespace}:
                    await say(event.line)
            told = version
            try:
                async with asyncio.timeout_at(min(until, loop.time() + _BOOKMARK_SECONDS)):
                    await news.wait()
            except TimeoutError:
                told = self._version
                await say(_line("BOOKMARK", {"metadata": {"resourceVersion": str(told)}}))

    def _kind(self, place: Place) -> _Kind:
        return self._kinds.setdefault(place.kind, _Kind())

    def _live(self, place: Place) -> Manifest:
        live = self._kind(place).objects.get(place.key)
        if live is None:
            raise Refusal(404, "NotFound", place.name)
        return live

    def _write(self, place: Place, manifest: Manifest) -> Manifest:
        written = self._keep(place, manifest)
        self._wrote(place, written)
        return written

    def _keep(self, place: Place, manifest: Manifest) -> Manifest:
        """Have an object be so; what is so already makes no version."""
        kind = self._kind(place)
        live = kind.objects.get(place.key)
        known = live["metadata"] if live is not None else {}
        metadata = {
            **manifest["metadata"],
            "name": place.name,
            **({"namespace": place.namespace} if place.namespace else {}),
            "uid": known.get("uid") or manifest["metadata"].get("uid") or str(uuid4()),
            "generation": known.get("generation", 1),
            "creationTimestamp": known.get("creationTimestamp") or now(),
            "resourceVersion": known.get("resourceVersion", ""),
        }
        made = {**manifest, "metadata": metadata}
        if made == live:
            return live
        if live is not None and live.get("spec") != made.get("spec"):
            metadata["generation"] += 1
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            return self._drop(place, made)
        self._tell(place, "ADDED" if live is None else "MODIFIED", made)
        kind.objects[place.key] = made
        return made

    def _drop(self, place: Place, live: Manifest) -> Manifest:
        gone = {**live, "metadata": dict(live["metadata"])}
        del self._kind(place).objects[place.key]
        self._tell(place, "DELETED", gone)
        return gone

    def _tell(self, place: Place, what: str, manifest: Manifest) -> None:
        kind = self._kind(place)
        self._version += 1
        manifest["metadata"]["resourceVersion"] = str(self._version)
        if len(kind.events) == _REMEMBERED:
            kind.forgotten = kind.events[0].version
        kind.events.append(_Event(self._version, place.namespace, _line(what, manifest)))
        kind.news.set()
        kind.news = asyncio.Event()


async def answer(
    api: SimulatedApi, request: web.BaseRequest, before_line: Callable[[], Awaitable[None]]
) -> web.StreamResponse:
    """Answer one request.

    Args:
        api: The objects.
        request: What is asked.
        before_line: What each line of a watch waits for.
    """
    if request.path in api.told:
        return web.json_response(api.told[request.path])
    place = Place.of(request.path)
    if "watch" in request.query:
        response = web.StreamResponse()
        await response.prepare(request)

        async def say(line: bytes) -> None:
            await before_line()
            await response.write(line)

        await api.watch(place, request.query, say)
        return response
    text = await request.text()
    body = json.loads(text) if text else {}
    try:
        return _done(api, place, request, body)
    except Refusal as refusal:
        return web.json_response(refusal.body, status=refusal.status)


def _done(
    api: SimulatedApi, place: Place, request: web.BaseRequest, body: Manifest
) -> web.StreamResponse:
    match request.method:
        case "GET" if place.name:
            return web.json_response(api.read(place))
        case "GET":
            on_nodes = "nodeName" in request.query.get("fieldSelector", "")
            return web.json_response(api.list(place, on_nodes=on_nodes))
        case "POST":
            return web.json_response(api.create(place, body), status=201)
        case "PATCH":
            applied = request.content_type == APPLY
            written, made = api.patch(place, body, applied=applied)
            return web.json_response(written, status=201 if made else 200)
        case _:
            return web.json_response(api.delete(place, body))


def now() -> str:
    """Return the time as API servers write it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _line(what: str, manifest: Manifest) -> bytes:
    return json.dumps({"type": what, "object": manifest}).encode() + b"\n"


def _applied(live: Manifest, wanted: Manifest) -> Manifest:
    """Return an object with the fields of a manifest in the place of those that it had."""
    metadata = {**live["metadata"], **wanted["metadata"]}
    for what in ("labels", "annotations"):
        known = live["metadata"].get(what)
        if known and what in wanted["metadata"]:
            metadata[what] = {**known, **wanted["metadata"][what]}
    return {**live, **wanted, "metadata": metadata}


def _merged(live: Any, patch: Any) -> Any:
    """Return what a JSON merge patch makes (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    known = live if isinstance(live, dict) else {}
    merged = {key: _merged(known.get(key), value) for key, value in patch.items()}
    return {key: value for key, value in {**known, **merged}.items() if value is not None}
