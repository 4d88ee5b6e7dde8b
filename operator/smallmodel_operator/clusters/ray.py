"""A pool's head: what Serve says of its applications, and `_index` of their engines."""

import logging
from types import TracebackType
from typing import Final, Self

import aiohttp

from smallmodel_operator.api.names import INDEX_APPLICATION
from smallmodel_operator.api.serving import ENGINES_PATH
from smallmodel_operator.clusters.clock import SYSTEM_CLOCK, Clock
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
        *,
        address: str,
        port: int,
        serve_port: int,
        token: str,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._session = session
        host = f"[{address}]" if ":" in address else address
        self._root = f"http://{host}:{port}"
        self._engines = f"http://{host}:{serve_port}{INDEX_ROUTE}{ENGINES_PATH}"
        self._place = (address, port, token)
        self._clock = clock
        self._failures = 0
        self._again_at = 0.0
        self._last = ""

    async def observe(self) -> dict[str, ServedApplication]:
        """Return what Serve says of every application, by its name, and what its engine does.

        Raises:
            DashboardUnreachable: There was no such answer, now or a moment ago.
            DashboardUnauthorized: The token is not accepted.
        """
        wait = self._again_at - self._clock.monotonic()
        if wait > 0:
            raise DashboardUnreachable(f"{self._last}; asked again in {wait:.0f} s")
        try:
            applications = await self._ask()
        except DashboardUnreachable as error:
            self._note(str(error))
            raise
        self._failures = 0
        return await self._with_engines(applications)

    def is_at(self, address: str, port: int, token: str) -> bool:
        """Tell whether this is the dashboard at an address, opened by a token."""
        return self._place == (address, port, token)

    async def _with_engines(
        self, applications: dict[str, ServedApplication]
    ) -> dict[str, ServedApplication]:
        """Add what the engines do; an image of before that was told leaves it unknown."""
        running = any(
            one.replicas for one in applications.values() if one.name != INDEX_APPLICATION
        )
        if not running:
            return applications
        try:
            limit = aiohttp.ClientTimeout(total=ENGINES_SECONDS)
            async with self._session.get(self._engines, timeout=limit) as response:
                content = await _read(response)
            if response.status != 200 or content is None:
                _LOG.debug("%s answered %d", self._engines, response.status)
                return applications
            return with_engines(applications, read_engines(content))
        except (TimeoutError, aiohttp.ClientError, OSError, ServeAnswerUnreadable) as error:
            _LOG.debug("%s: %s", self._engines, error)
            return applications

    def _note(self, message: str) -> None:
        self._last = message
        pause = min(_FIRST_PAUSE * 2**self._failures, LONGEST_PAUSE)
        self._again_at = self._clock.monotonic() + pause
        self._failures = min(self._failures + 1, 10)

    async def _ask(self) -> dict[str, ServedApplication]:
        where = f"Ray's dashboard at {self._root}"
        # Ray takes this header too, and a proxy that uses `Authorization` itself leaves it alone.
        headers = {"x-ray-authorization": f"Bearer {self._place[2]}"}
        try:
            async with self._session.get(self._root + _PATH, headers=headers) as response:
                content = await _read(response)
        except TimeoutError as error:
            raise DashboardUnreachable(
                f"{where} did not answer within {TOTAL_SECONDS:g} s"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise DashboardUnreachable(f"{where} cannot be reached: {error}") from error
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

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
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
        self, pool: tuple[str, str], *, address: str, port: int, serve_port: int, token: str
    ) -> RayDashboard:
        """Return the dashboard of a pool; one at another address begins without failures.

        Args:
            pool: Namespace and name.
            address: An IP address.
            port: The dashboard's port.
            serve_port: That of the pool's applications.
            token: The value of the pool's token Secret.
        """
        known = self._pools.get(pool)
        if known is None or not known.is_at(address, port, token):
            known = RayDashboard(
                self._session,
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
        self._pools.pop(pool, None)
