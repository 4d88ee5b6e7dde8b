"""One HTTP call to an API server: credentials, limits of time, and errors with types."""

import asyncio
import contextlib
import logging
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.incluster_config import SERVICE_HOST_ENV_NAME, SERVICE_TOKEN_FILENAME

from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.credentials import Credentials, certificate_files
from smallmodel_operator.clusters.refusals import Answer, refusal
from smallmodel_operator.clusters.requests import Request

_log = logging.getLogger(__name__)

_CONNECTIONS: Final = 64
_ATTEMPTS: Final = 3
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
_STREAM_SECONDS: Final = 60.0
"""How long streams go on with credentials that were replaced."""
_LOOK_SECONDS: Final = 0.5
_USER_AGENT: Final = "smallmodel-operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds that a call may take."""

    connect: float = 5.0
    total: float = 15.0


Send = Callable[[Request], Awaitable[Answer]]
Around = Callable[[Request, Send], Awaitable[Answer]]
"""Sees every call: it passes the request on, or fails before or after. For metrics and tests."""


async def send_on(request: Request, send: Send) -> Answer:
    """Send the request, and nothing else."""
    return await send(request)


def proxy_to(server: str) -> str | None:
    """Return the proxy that the environment names for a server, by the names that curl reads.

    Args:
        server: Its URL.
    """
    address = urlsplit(server)
    if not address.hostname or proxy_bypass(address.netloc.rpartition("@")[2]):
        return None
    proxy = getproxies().get(address.scheme)
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


class Wire:
    """The connections to one API server."""

    def __init__(self, configuration: Configuration, limits: Limits) -> None:
        self._proxy = configuration.proxy = proxy_to(configuration.host)
        # Or the environment would be read with each call, twice and by another thread.
        configuration.client_session_kwargs = {"trust_env": False}
        self._client = ApiClient(configuration)
        self._timeout = aiohttp.ClientTimeout(total=limits.total, sock_connect=limits.connect)
        self._host: str = configuration.host
        self._calls = 0
        self._server_name: str | None = configuration.tls_server_name
        self._streams = WeakSet[aiohttp.ClientWebSocketResponse]()
        self._stream_session: aiohttp.ClientSession | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    @classmethod
    def of(cls, credentials: Credentials, limits: Limits) -> Self:
        """Return the connections to the API server of credentials. Nothing is sent yet."""
        configuration = Configuration(host=credentials.server)
        configuration.connection_pool_maxsize = _CONNECTIONS
        configuration.ca_cert_data = credentials.authority
        configuration.tls_server_name = credentials.server_name
        if credentials.token is not None:
            configuration.api_key = {"BearerToken": f"Bearer {credentials.token}"}
        with certificate_files(credentials) as files:
            if files is not None:
                configuration.cert_file, configuration.key_file = files
            return cls(configuration, limits)

    @property
    def host(self) -> str:
        """The API server's URL."""
        return self._host

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
        if self._stream_session is not None:
            await self._stream_session.close()

    async def retire(self) -> None:
        """Close the connections once nothing runs any more, streams a minute later at most.

        Nothing may begin. Cancelled, it closes them at once.
        """
        try:
            await self._idle.wait()
            until = time.monotonic() + _STREAM_SECONDS
            while time.monotonic() < until and any(not one.closed for one in self._streams):
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            await self.close()

    async def send(self, request: Request) -> Answer:
        """Send a request, more than once where that is safe and the fault may pass.

        Raises:
            ApiError: There was no answer, or it is a refusal.
        """
        with self._running():
            return await self._send_until_done(request)

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        self._calls += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._calls -= 1
            if not self._calls:
                self._idle.set()

    async def _send_until_done(self, request: Request) -> Answer:
        attempt = 1
        while True:
            try:
                return await self._send_once(request)
            except (errors.Unreachable, errors.Busy, errors.ServerFailed) as error:
                if attempt == _ATTEMPTS or not request.repeatable:
                    raise
                _log.debug("%s; tried again", error)
                await asyncio.sleep(_pause(attempt, error))
            attempt += 1

    async def open_websocket(
        self, request: Request, protocol: str
    ) -> aiohttp.ClientWebSocketResponse:
        """Open a stream.

        Raises:
            ApiError: There was no answer, or it is a refusal.
        """
        if self._stream_session is None:
            # Streams are open for long: they must not take the connections that calls wait for.
            connector = aiohttp.TCPConnector(limit=0, ssl=self._client.rest_client.ssl_context)
            self._stream_session = aiohttp.ClientSession(connector=connector, proxy=self._proxy)
        try:
            with self._running():
                async with asyncio.timeout(self._timeout.total):
                    socket = await self._stream_session.ws_connect(
                        self._url(request),
                        headers=await self._headers(request),
                        protocols=[protocol],
                        server_hostname=self._server_name,
                    )
        except aiohttp.WSServerHandshakeError as error:
            if error.status == 404:
                raise errors.NotFound(f"{request.what}: there is none", status=404) from error
            # What the API server said of it is lost with the handshake.
            answer = Answer(status=error.status, content=b"")
            raise refusal(answer, request.what) from error
        except TimeoutError as error:
            raise self._silent(request) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(request, error) from error
        self._streams.add(socket)
        return socket

    async def open_lines(self, request: Request, silence: float) -> "Lines":
        """Open an answer that is read line by line, for as long as it lasts.

        Args:
            request: The call.
            silence: Seconds without a byte after which nobody is there any more.

        Raises:
            ApiError: There was no answer, or it is a refusal.
        """
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._timeout.sock_connect, sock_read=silence
        )
        try:
            async with asyncio.timeout(self._timeout.total):
                response = await self._client.rest_client.request(
                    request.method,
                    self._url(request),
                    headers=await self._headers(request),
                    _request_timeout=timeout,
                )
                if response.status >= 400:
                    answer = Answer(status=response.status, content=await response.read())
                    raise refusal(answer, request.what)
        except TimeoutError as error:
            raise self._silent(request) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(request, error) from error
        return Lines(response.response, request.what)

    async def _send_once(self, request: Request) -> Answer:
        try:
            answer = await self._exchange(request)
        except TimeoutError as error:
            raise self._silent(request) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(request, error) from error
        if answer.status >= 400:
            raise refusal(answer, request.what, confidential=request.confidential)
        return answer

    async def _exchange(self, request: Request) -> Answer:
        headers = await self._headers(request)
        response = await self._client.rest_client.request(
            request.method,
            self._url(request),
            headers=headers,
            body=request.body,
            _request_timeout=self._timeout,
        )
        content = await response.read()
        return Answer(
            status=response.status,
            content=content,
            retry_after=response.getheader("Retry-After"),
        )

    async def _headers(self, request: Request) -> dict[str, str]:
        headers = {
            "Accept": request.accept,
            "Content-Type": request.content_type,
            "User-Agent": _USER_AGENT,
        }
        await self._client.update_params_for_auth(
            headers, [], ["BearerToken"], request.path, request.method, None
        )
        return headers

    def _url(self, request: Request) -> str:
        query = f"?{urlencode(request.query)}" if request.query else ""
        return self._host + request.path + query

    def _silent(self, request: Request) -> errors.Unreachable:
        return errors.Unreachable(
            f"{request.what}: {self._host} did not answer within {self._timeout.total:g} s; "
            "check that the API server runs and can be reached from here"
        )

    def _unreachable(self, request: Request, error: Exception) -> errors.Unreachable:
        return errors.Unreachable(
            f"{request.what}: {self._host} cannot be reached ({error}); "
            "check the address, and that the API server runs"
        )


class Lines:
    """An answer that is open, line by line."""

    def __init__(self, response: aiohttp.ClientResponse, what: str) -> None:
        self._response = response
        self._what = what

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield whole lines until the API server ends the answer; the rest of one is none.

        Raises:
            Unreachable: The connection broke, or nobody said anything for too long.
        """
        rest = b""
        try:
            async for part in self._response.content.iter_any():
                # Objects may be longer than the lines that the client would split for us.
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    yield line
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise errors.Unreachable(
                f"{self._what}: the connection broke ({type(error).__name__} {error}); "
                "it is opened again"
            ) from error

    def close(self) -> None:
        """End the answer; its connection is not used again."""
        self._response.close()


def runs_in_a_pod() -> bool:
    """Return whether this process is in a pod that may speak to its API server."""
    return bool(os.environ.get(SERVICE_HOST_ENV_NAME)) and Path(SERVICE_TOKEN_FILENAME).is_file()


def _pause(attempt: int, error: errors.ApiError) -> float:
    asked = error.retry_after if isinstance(error, errors.Busy) else None
    if asked is not None:
        return min(asked, _LONGEST_PAUSE)
    # Several callers that lost the same API server do not come back in one moment.
    return _FIRST_PAUSE * attempt**2 * (0.5 + random.random())  # noqa: S311 - no secret


async def load_configuration(kubeconfig: Path | None, context: str | None) -> Configuration:
    """Return how to reach the cluster: by a kubeconfig, else as a pod, else by the default file.

    Raises:
        NoConnection: There is none, or it cannot be read.
    """
    configuration = Configuration()
    configuration.connection_pool_maxsize = _CONNECTIONS
    try:
        if kubeconfig is None and context is None and runs_in_a_pod():
            config.load_incluster_config(client_configuration=configuration)
        else:
            await config.load_kube_config(
                config_file=str(kubeconfig) if kubeconfig else None,
                context=context,
                client_configuration=configuration,
                persist_config=False,
            )
    except (config.ConfigException, OSError, ValueError) as error:
        raise errors.NoConnection(
            f"no cluster is known: {error}; give a kubeconfig by --kubeconfig or KUBECONFIG"
        ) from error
    return configuration
