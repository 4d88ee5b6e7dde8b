"""All objects of one kind, as they are and as they change: a list, and watches after it.

For clusters that the operator's framework does not watch. What could not be listed, or was listed
in part, says nothing of what is not there.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.clock import SYSTEM_CLOCK, Clock
from smallmodel_operator.clusters.ref import Manifest, Resource

_LOG: Final = logging.getLogger(__name__)

_LASTS_SECONDS: Final = 300
SILENCE_SECONDS: Final = 75.0
"""API servers tell their version each minute where nothing else is to be told."""
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
_JITTER: Final = 0.5


class Listener(Protocol):
    """Who is told."""

    def see(self, resource: Resource, manifest: Manifest, *, gone: bool) -> None:
        """Take an object as it is now, or that it is gone."""

    async def listed(self, resource: Resource, there: set[tuple[str, str]], version: str) -> None:
        """Learn that a whole list at that version had these objects, by namespace and name.

        Raises:
            ApiError: What is not in the list could not be looked into: it is listed anew.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What is watched."""

    resource: Resource
    namespace: str | None = None
    """None: all of them."""

    def __str__(self) -> str:
        where = f" of namespace {self.namespace}" if self.namespace else ""
        return f"{self.resource.full_name}{where}"


class Watch:
    """Keeps a listener told of one kind."""

    def __init__(
        self,
        api: Api,
        place: Place,
        listener: Listener,
        *,
        clock: Clock = SYSTEM_CLOCK,
        silence: float = SILENCE_SECONDS,
        failed: Callable[[Place, errors.ApiError], None] | None = None,
    ) -> None:
        """Make it; `run` does the work.

        Args:
            api: The cluster's.
            place: What is watched.
            listener: Who is told.
            clock: For pauses.
            silence: Seconds without a word after which a watch is opened anew.
            failed: Told of each failure.
        """
        self._api = api
        self._place = place
        self._listener = listener
        self._clock = clock
        self._silence = silence
        self._failed = failed
        self._failures = 0
        self._version: str | None = None
        """From which a watch goes on; None: everything is to be listed."""
        self._read = asyncio.Event()

    @property
    def is_read(self) -> bool:
        """Whether a whole list was told, or the cluster said that it does not serve the kind."""
        return self._read.is_set()

    async def read(self) -> None:
        """Return once that is so."""
        await self._read.wait()

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            try:
                if self._version is None:
                    self._version = await self._list()
                await self._follow(self._version)
            except errors.ListExpired as error:
                # Too old for the API server to say what changed since.
                self._version = None
                await self._rest(error)
            except errors.ApiMissing as error:
                # Its definition may come at any time, or have come a moment ago.
                self._version = None
                self._read.set()
                await self._rest(error)
            except errors.ApiError as error:
                await self._rest(error)

    async def _list(self) -> str:
        """Tell of everything, and return from which version to watch."""
        resource, namespace = self._place.resource, self._place.namespace
        there, version = set[tuple[str, str]](), ""
        async for page in self._api.pages(resource, namespace):
            version = page.resource_version
            for item in page.items:
                self._listener.see(resource, item, gone=False)
                metadata = item["metadata"]
                there.add((metadata.get("namespace", ""), metadata["name"]))
        if not version:
            raise errors.ServerFailed(
                f"list {self._place}: the answer has no version, so it is no whole list; "
                "it is read again"
            )
        await self._listener.listed(resource, there, version)
        self._failures = 0
        self._read.set()
        return version

    async def _follow(self, version: str) -> None:
        """Tell of changes until the API server ends the watch."""
        resource, namespace = self._place.resource, self._place.namespace
        lasts = int(_LASTS_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
        changes = self._api.watch(
            resource, namespace, version=version, lasts=lasts, silence=self._silence
        )
        async for change in changes:
            self._version = change.version
            self._failures = 0
            if not change.bookmark:
                kind = {"apiVersion": resource.api_version, "kind": resource.kind}
                self._listener.see(resource, {**kind, **change.manifest}, gone=change.gone)

    async def _rest(self, error: errors.ApiError) -> None:
        if self._failed is not None:
            self._failed(self._place, error)
        _LOG.debug("watching %s failed, and goes on by itself: %s", self._place, error)
        pause = min(_FIRST_PAUSE * 2.0**self._failures, _LONGEST_PAUSE)
        self._failures += 1
        await self._clock.sleep(_pause(pause))


def _pause(seconds: float) -> float:
    # Watches that broke together do not come back in one moment.
    return seconds * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
