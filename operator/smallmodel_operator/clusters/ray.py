"""A pool's head: what Serve says of its applications, and `_index` of their engines."""

import asyncio
import logging
from types import TracebackType
from typing import Final, Self

import aiohttp

from smallmodel_operator.api.names import INDEX_APPLICATION
from smallmodel_operator.api.serving import ENGINES_PATH
from smallmodel_operator.clusters.clock import SYSTEM_CLOCK, Clock
from smallmodel_operator.clusters.reach import DIRECT, NotAllowed, NoWay, Reach, url_of
from smallmodel_operator.clusters.ref import Ref
from smallmodel_operator.plan.serve import INDEX_ROUTE
from smallmodel_operator.status.serve import (
    ServeAnswerUnreadable,
    ServedApplication,
    read_applications,
    read_engines,
    with_engines,
)

_LOG: Final = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 2.0
TOTAL_SECONDS: Final = 5.0
ENGINES_SECONDS: Final = 1.0
"""For `_index`, which answers from memory: nobody waits for it while the head restarts it."""
LONGEST_PAUSE: Final = 15.0
_FIRST_PAUSE: Final = 1.0
_LARGEST_ANSWER: Final = 16 * 2**20
_PATH: Final = "/api/serve/applications/"


class DashboardError(Exception):
    """The base: a dashboard did not say what its applications do."""


class DashboardUnreachable(DashboardError):
    """It did not answer, or not with Serve's state."""


class DashboardForbidden(DashboardUnreachable):
    """Nobody let it be asked.

    Attributes:
        why: Which right is missing, and what to do about it.
    """

    def __init__(self, message: str, why: str) -> None:
        super().__init__(message)
        self.why = why


class DashboardUnauthorized(DashboardError):
    """It does not accept the pool's token."""


class RayDashboard:
    """The dashboard of one pool's head.

    After failures it is left alone for a while, so that a silent pool costs nobody five seconds
    again and again: 1 s, 2 s, 4 s and so on up to `LONGEST_PAUSE`.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        reach: Reach,
        *,
        pod: Ref,
        address: str,
        port: int,
        serve_port: int,
        token: str,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._session = session
        self._reach = reach
        self._serve_port = serve_port
        self._place = (pod, address, port, token)
        self._clock = clock
        self._failures = 0
        self._again_at = 0.0
        self._last: DashboardUnreachable | None = None

    async def observe(self) -> dict[str, ServedApplication]:
        """Return what Serve says of every application, by its name, and what its engine does.

        Raises:
            DashboardUnreachable: There was no such answer, now or a moment ago.
            DashboardUnauthorized: The token is not accepted.
        """
        wait = self._again_at - self._clock.monotonic()
        if wait > 0:
            raise _again(self._last, f"{self._last}; asked again in {wait:.0f} s")
        deadline = asyncio.get_running_loop().time() + TOTAL_SECONDS
        try:
            applications = await self._ask(deadline)
        except DashboardUnreachable as error:
            self._note(error)
            raise
        self._failures = 0
        return await self._with_engines(applications, deadline)

    @property
    def pod(self) -> Ref:
        """The pod that it is in."""
        return self._place[0]

    def is_at(self, pod: Ref, address: str, port: int, token: str) -> bool:
        """Tell whether this is the dashboard of a pod at an address, opened by a token."""
        return self._place == (pod, address, port, token)

    async def _with_engines(
        self, applications: dict[str, ServedApplication], deadline: float
    ) -> dict[str, ServedApplication]:
        """Add what the engines do; an image of before that was told leaves it unknown."""
        running = any(
            one.replicas for one in applications.values() if one.name != INDEX_APPLICATION
        )
        if not running:
            return applications
        try:
            content = await self._fetch_engines(deadline)
            return with_engines(applications, read_engines(content))
        except (TimeoutError, aiohttp.ClientError, OSError, NoWay, ServeAnswerUnreadable) as error:
            _LOG.debug("the engines of %s are unknown: %s", self.pod, error)
            return applications

    async def _fetch_engines(self, deadline: float) -> bytes:
        pod, address, _, _ = self._place
        soon = asyncio.get_running_loop().time() + CONNECT_SECONDS
        async with asyncio.timeout_at(min(soon, deadline)):
            root = await self._reach.base(pod, address, self._serve_port)
        url = f"{root}{INDEX_ROUTE}{ENGINES_PATH}"
        limit = aiohttp.ClientTimeout(total=ENGINES_SECONDS)
        async with self._session.get(url, timeout=limit) as response:
            content = await _read(response)
        if response.status != 200 or content is None:
            raise ServeAnswerUnreadable(f"{INDEX_APPLICATION} answered {response.status}")
        return content

    def _note(self, error: DashboardUnreachable) -> None:
        self._last = error
        pause = min(_FIRST_PAUSE * 2**self._failures, LONGEST_PAUSE)
        self._again_at = self._clock.monotonic() + pause
        self._failures = min(self._failures + 1, 10)

    async def _ask(self, deadline: float) -> dict[str, ServedApplication]:
        pod, address, port, token = self._place
        where = f"Ray's dashboard at {url_of(address, port)}"
        # Ray takes this header too, and a proxy that uses `Authorization` itself leaves it alone.
        headers = {"x-ray-authorization": f"Bearer {token}"}
        try:
            async with asyncio.timeout_at(deadline):
                root = await self._reach.base(pod, address, port)
                async with self._session.get(root + _PATH, headers=headers) as response:
                    content = await _read(response)
        except TimeoutError as error:
            raise DashboardUnreachable(
                f"{where} did not answer within {TOTAL_SECONDS:g} s"
            ) from error
        except NotAllowed as error:
            message = f"{where} cannot be reached: {error}"
            raise DashboardForbidden(message, str(error)) from error
        except (aiohttp.ClientError, OSError, NoWay) as error:
            why = self._reach.trouble(pod, port) or error
            raise DashboardUnreachable(f"{where} cannot be reached: {why}") from error
        if response.status in {401, 403}:
            raise DashboardUnauthorized(
                f"{where} answered {response.status}; compare the pool's token Secret with the "
                "one that its head was started with"
            )
        if response.status != 200:
            raise DashboardUnreachable(f"{where} answered {response.status}")
        if content is None:
            raise DashboardUnreachable(f"{where} answered more than {_LARGEST_ANSWER} bytes")
        try:
            return {one.name: one for one in read_applications(content)}
        except ServeAnswerUnreadable as error:
            raise DashboardUnreachable(f"{where}: {error}") from error


def _again(last: DashboardUnreachable | None, message: str) -> DashboardUnreachable:
    """Return the fault of the last time, in other words."""
    if isinstance(last, DashboardForbidden):
        return DashboardForbidden(message, last.why)
    return DashboardUnreachable(message)


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """Return the content, or None where it is longer than any that Serve sends."""
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > _LARGEST_ANSWER:
            return None
    return bytes(content)


class RayDashboards:
    """The dashboards of all pools, over one set of connections."""

    def __init__(self, *, reach: Reach = DIRECT, clock: Clock = SYSTEM_CLOCK) -> None:
        """Make it; nothing is opened yet.

        Args:
            reach: How heads are reached; whoever made it closes it.
            clock: Tells when a silent one is asked again.
        """
        self._reach = reach
        self._clock = clock
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TOTAL_SECONDS, sock_connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._pools: dict[tuple[str, str], RayDashboard] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    def of(
        self,
        pool: tuple[str, str],
        *,
        pod: Ref,
        address: str,
        port: int,
        serve_port: int,
        token: str,
    ) -> RayDashboard:
        """Return the dashboard of a pool; one of another head begins without failures.

        Args:
            pool: Namespace and name.
            pod: The head.
            address: Its IP address.
            port: The dashboard's port.
            serve_port: That of the pool's applications.
            token: The value of the pool's token Secret.
        """
        known = self._pools.get(pool)
        if known is None or not known.is_at(pod, address, port, token):
            if known is not None and known.pod != pod:
                self._reach.forget(known.pod)
            known = RayDashboard(
                self._session,
                self._reach,
                pod=pod,
                address=address,
                port=port,
                serve_port=serve_port,
                token=token,
                clock=self._clock,
            )
            self._pools[pool] = known
        return known

    def forget(self, pool: tuple[str, str]) -> None:
        """Drop what is kept of a pool that is gone."""
        known = self._pools.pop(pool, None)
        if known is not None:
            self._reach.forget(known.pod)
