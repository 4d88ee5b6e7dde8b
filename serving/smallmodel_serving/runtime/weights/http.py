"""Files over HTTP: continued with Range, and only if the file is still the same."""

import ipaddress
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from smallmodel_serving.runtime.weights.download import Body, Expected, Tools
from smallmodel_serving.runtime.weights.errors import (
    SecretMissing,
    SourceCut,
    SourceNotSupported,
    SourceUnreachable,
    WeightsError,
)
from smallmodel_serving.runtime.weights.files import Wanted, fetch_files
from smallmodel_serving.runtime.weights.sources import UrlSource
from smallmodel_serving.runtime.weights.verify import VerifiedFile

TIMEOUT_SECONDS: Final = (10.0, 30.0)
"""To connect, and to wait for the next byte."""
_CHUNK: Final = 1 << 16
_MAY_PASS: Final = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)


class _BearerToken(requests.auth.AuthBase):
    """Sends a token; requests drops the header where a redirect leaves the host."""

    has_token = True

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _TrustedOnly(HTTPAdapter):
    """Plain HTTP, for this machine and named hosts only; it also sees what a redirect leads to."""

    def __init__(self, trusted: frozenset[str]) -> None:
        super().__init__()
        self._trusted = trusted

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        parts = urlsplit(str(request.url or ""))
        host = parts.hostname or ""
        if not is_loopback(host) and not {host, parts.netloc} & self._trusted:
            raise SourceNotSupported(
                f"{shown_url(str(request.url))} is plain http, which anyone on the way can change; "
                "use https"
            )
        return super().send(request, *args, **kwargs)


def is_loopback(host: str) -> bool:
    """Return whether a host name is this machine by its very name."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def shown_url(url: str) -> str:
    """Return a URL without user, password and query, which can be secrets."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def session(token: str | None = None, *, trusted: frozenset[str] = frozenset()) -> requests.Session:
    """Return a session that sends the token and refuses plain HTTP beyond this machine.

    Args:
        token: Sent as a bearer token.
        trusted: Hosts, with a port or without, that may be asked in plain HTTP.
    """
    made = requests.Session()
    made.headers["User-Agent"] = "smallmodel-fetch"
    # Digests and ranges are of the file itself, never of a compressed transfer.
    made.headers["Accept-Encoding"] = "identity"
    made.mount("http://", _TrustedOnly(trusted))
    if token is not None:
        made.auth = _BearerToken(token)
    return made


def sends_token(opened: requests.Session) -> bool:
    """Return whether a session shows a secret to those it asks."""
    return bool(getattr(opened.auth, "has_token", False))


def check_status(response: requests.Response, shown: str, *, with_token: bool) -> None:
    """Turn a status that is no success into an error.

    Raises:
        SecretMissing: 401 or 403.
        SourceCut: A status that may pass.
        SourceUnreachable: Any other.
    """
    status = response.status_code
    if status < HTTPStatus.BAD_REQUEST:
        return
    answered = f"{shown} answered {status} {response.reason}".rstrip()
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        if with_token:
            raise SecretMissing(
                f"{answered}: the token that was sent does not open it; ask the publisher for "
                "access, or put a token that has it into the secret"
            )
        raise SecretMissing(
            f"{answered}: it needs a token, or is not there; name a secret with the key `token` "
            "in `secretRef`"
        )
    if status in _MAY_PASS:
        raise SourceCut(answered)
    raise SourceUnreachable(f"{answered}; check the address and the revision")


@contextmanager
def http_errors(shown: str) -> Iterator[None]:
    """Map what the HTTP library raises to errors of this package."""
    try:
        yield
    except WeightsError:
        raise
    except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
        raise SourceNotSupported(f"{shown} is not a usable address ({error})") from error
    except (requests.exceptions.RequestException, HTTPError) as error:
        raise SourceCut(f"{shown} did not answer as it should ({_cause(error)})") from error


def _cause(error: BaseException) -> str:
    # The libraries wrap the cause several times, and their own texts can hold signed URLs.
    reasons = [arg for arg in error.args if isinstance(arg, BaseException)]
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return _cause(reason)
    if reasons:
        return _cause(reasons[-1])
    text = re.sub(r"^.*object at 0x[0-9a-f]+>: ", "", str(error))
    return re.sub(r"\?\S+", "", text) or type(error).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpFile:
    """A file behind a URL."""

    session: requests.Session
    url: str

    @property
    def shown(self) -> str:
        """Return the URL without secrets."""
        return shown_url(self.url)

    @contextmanager
    def open(self, offset: int, validator: str | None) -> Iterator[Body]:
        """Ask for the file from `offset` on; see `download.Remote`."""
        headers = {}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if validator is not None:
                headers["If-Range"] = validator
        with (
            http_errors(self.shown),
            self.session.get(
                self.url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS
            ) as response,
        ):
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                if response.headers.get("Content-Range") == f"bytes */{offset}":
                    yield Body(start=offset, total=offset, validator=validator, chunks=iter(()))
                    return
                # The file became shorter: take it from the start.
                with self.open(0, None) as body:
                    yield body
                return
            check_status(response, self.shown, with_token=sends_token(self.session))
            start, total = _extent(response, offset)
            yield Body(
                start=start,
                total=total,
                validator=_validator(response),
                chunks=response.iter_content(_CHUNK),
            )


def fetch_url(
    source: UrlSource, folder: Path, expected: Expected, token: str | None, tools: Tools
) -> tuple[VerifiedFile, ...]:
    """Fetch one file from its URL.

    Raises:
        WeightsError: As `download` does.
    """
    with session(token) as opened:
        remote = HttpFile(session=opened, url=source.url)
        return fetch_files(
            [Wanted(name=source.name, remote=remote, expected=expected)], folder, tools
        )


def _extent(response: requests.Response, offset: int) -> tuple[int, int | None]:
    if response.status_code == HTTPStatus.PARTIAL_CONTENT:
        extent = re.match(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if extent is None or int(extent[1]) != offset:
            raise SourceUnreachable(
                f"{shown_url(response.url)} was asked for bytes from {offset} on and answered "
                f"{response.headers.get('Content-Range')!r}"
            )
        return offset, None if extent[2] == "*" else int(extent[2])
    length = response.headers.get("Content-Length")
    return 0, int(length) if length is not None and length.isdigit() else None


def _validator(response: requests.Response) -> str | None:
    etag = response.headers.get("ETag")
    # A weak tag does not promise equal bytes, so it cannot guard a range (RFC 9110, 13.1.5).
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified")
