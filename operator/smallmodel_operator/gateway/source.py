"""One ConfigMap as the API server tells of it, for as long as the agent runs."""

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any, Final

import aiohttp
from kubernetes.aio.client.api_client import ApiClient

from smallmodel_operator.gateway.metrics import AgentMetrics

ConfigMap = Mapping[str, Any]

WATCH_SECONDS: Final = 60
"""After that the API server ends a watch, so that a connection which died unseen is found out."""

_GRACE_SECONDS: Final = 10.0
_CONNECT_SECONDS: Final = 5.0
_LIST_SECONDS: Final = 10.0
_SHORTEST_WATCH: Final = 1.0
"""A watch that ends sooner and told nothing counts as failed; else a broken proxy before the API
server would be asked without a pause."""

_log: Final = logging.getLogger(__name__)


class WatchFailed(Exception):
    """The API server could not be watched; the reason is a metric's label."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Backoff:
    """Growing waits with jitter, in seconds, so that two agents do not come back together."""

    def __init__(
        self,
        first: float = 0.1,
        longest: float = 5.0,
        # Spreading load needs no secrecy.
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._first = first
        self._longest = longest
        self._jitter = jitter
        self._next = first

    def reset(self) -> None:
        """Begin again with the shortest."""
        self._next = self._first

    def wait(self) -> float:
        """Return how long to wait now: half of it for sure, the rest by chance."""
        now, self._next = self._next, min(self._next * 2, self._longest)
        return now * (0.5 + self._jitter() / 2)


class ConfigMapSource:
    """Lists, watches, and comes back after whatever happens."""

    def __init__(
        self,
        client: ApiClient,
        namespace: str,
        name: str,
        metrics: AgentMetrics,
        backoff: Backoff | None = None,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._metrics = metrics
        self._backoff = backoff or Backoff()

    async def latest(self, every: float) -> AsyncGenerator[ConfigMap | None, None]:
        """Yield the newest of `changes`, and None where there was none for `every` seconds.

        A version that was replaced while the one before was being taken needs no work.
        """
        newest: list[ConfigMap] = []
        told = asyncio.Event()

        async def read() -> None:
            async with aclosing(self.changes()) as changes:
                async for config_map in changes:
                    newest[:] = [config_map]
                    told.set()

        reading = asyncio.ensure_future(read())
        try:
            while not reading.done():
                with suppress(TimeoutError):
                    await asyncio.wait_for(told.wait(), every)
                told.clear()
                yield newest.pop() if newest else None
            await reading
        finally:
            reading.cancel()

    async def changes(self) -> AsyncGenerator[ConfigMap, None]:
        """Yield the ConfigMap as it is and each time that it may have changed; never end.

        One that is not there, or was deleted, is no reason to yield anything.
        """
        while True:
            try:
                async with aclosing(self._list_and_watch()) as found:
                    async for config_map in found:
                        yield config_map
            except WatchFailed as error:
                self._metrics.watch_failed(error.reason)
                wait = self._backoff.wait()
                _log.warning("%s; trying again in %.1f s", error, wait)
                self._metrics.connected(False)
                await asyncio.sleep(wait)

    async def _list_and_watch(self) -> AsyncGenerator[ConfigMap, None]:
        listed = await self._list()
        if not listed["items"]:
            _log.info("there is no ConfigMap %s/%s yet", self._namespace, self._name)
        for item in listed["items"]:
            yield item
        version = listed["metadata"]["resourceVersion"]
        while True:
            began, told = time.monotonic(), False
            async with aclosing(self._watch(version)) as events:
                async for event in events:
                    told = True
                    self._backoff.reset()
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] in ("ADDED", "MODIFIED"):
                        yield event["object"]
                    elif event["type"] == "DELETED":
                        _log.warning(
                            "the ConfigMap %s/%s was deleted; its last version stays in use",
                            self._namespace,
                            self._name,
                        )
            if not told and time.monotonic() - began < _SHORTEST_WATCH:
                raise WatchFailed("EndedEarly", "the API server ended the watch at once")

    async def _list(self) -> Mapping[str, Any]:
        timeout = aiohttp.ClientTimeout(total=_LIST_SECONDS, connect=_CONNECT_SECONDS)
        try:
            async with await self._get({}, timeout) as answer:
                found: Mapping[str, Any] = await answer.json(content_type=None)
                return found
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._failed(error) from error

    async def _watch(self, version: str) -> AsyncGenerator[Mapping[str, Any], None]:
        timeout = aiohttp.ClientTimeout(
            total=WATCH_SECONDS + _GRACE_SECONDS, connect=_CONNECT_SECONDS
        )
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        try:
            async with await self._get(query, timeout) as answer:
                self._metrics.connected(True)
                async for line in answer.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise _refused(event["object"].get("code"), event["object"].get("message"))
                    yield event
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._failed(error) from error

    async def _get(
        self, query: Mapping[str, str], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        method, url, headers, *_ = await self._client.param_serialize(
            "GET",
            f"/api/v1/namespaces/{self._namespace}/configmaps",
            header_params={"Accept": "application/json"},
            query_params=[("fieldSelector", f"metadata.name={self._name}"), *query.items()],
            auth_settings=["BearerToken"],
        )
        answer = await self._client.call_api(method, url, headers, _request_timeout=timeout)
        response: aiohttp.ClientResponse = answer.response
        if response.status != 200:
            text = await response.text()
            response.release()
            raise _refused(response.status, text)
        return response

    def _failed(self, error: Exception) -> WatchFailed:
        host = self._client.configuration.host
        reason = "Timeout" if isinstance(error, TimeoutError) else "Connection"
        return WatchFailed(reason, f"the API server {host} does not answer ({error!r})")


def _refused(status: int | None, text: str | None) -> WatchFailed:
    if status == 410:
        # Its history is shorter than our absence: listing again is all that is needed.
        return WatchFailed("Gone", "the API server has forgotten where the watch was")
    shown = " ".join((text or "").split())[:300]
    return WatchFailed(f"Status{status}", f"the API server answers {status}: {shown}")
