"""Credential plugins: programs of the administrator's that give a token for another cluster.

The exchange is that of kubeconfigs (client.authentication.k8s.io): a variable says what is asked,
and the answer is an ExecCredential on the standard output. A program gets as little as it needs of
the operator's environment, and nothing that it writes is repeated where others read it.
"""

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from smallmodel_operator.api.credential_providers import EXEC_API_VERSION, EXEC_INFO
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.profiles import Access

PLUGIN_SECONDS: Final = 10.0
"""All of a run; one that takes longer is ended."""
_AT_ONCE: Final = 8
"""A hub with many clusters does not start as many programs in one moment."""
_REAP_TIMES: Final = 50
_REAP_SECONDS: Final = 0.02
_OUTPUT_MAX: Final = 64 * 1024
_SAID_MAX: Final = 1000
_KEPT: Final = (
    "PATH", "HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
"""Of the operator's environment; whatever else a program needs is in its provider's `env`."""
_TOKEN: Final = re.compile(r"[!-~]+")
_PLAIN: Final = re.compile(r"[A-Za-z0-9./-]{1,60}")
_SECRETIVE: Final = re.compile(r"[A-Za-z0-9_\-.+/=]{16,}")

_LOG: Final = logging.getLogger(__name__)


class PluginFailed(errors.NoConnection):
    """A program gave no token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a program gave."""

    text: str = field(repr=False)
    given_at: datetime
    expires_at: datetime | None
    """None: it did not say."""

    @property
    def renew_at(self) -> datetime | None:
        """When a fifth of its life is left, or None where it did not say when it ends."""
        if self.expires_at is None:
            return None
        return self.expires_at - (self.expires_at - self.given_at) / 5


class Plugins:
    """Runs programs, a few at a time."""

    def __init__(self, *, seconds: float = PLUGIN_SECONDS) -> None:
        self._seconds = seconds
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def ask(self, access: Access, now: datetime) -> Token:
        """Have the provider's program give a token.

        Raises:
            PluginFailed: It gave none.
        """
        async with self._turns:
            output = await self._run(access)
        return read_token(output, access, now)

    async def _run(self, access: Access) -> bytes:
        config = access.provider.exec_config
        try:
            process = await asyncio.create_subprocess_exec(
                config.command,
                *config.args,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=_environment(access, os.environ),
                cwd="/",
                # What it starts itself is ended with it.
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it has a zero byte"
            raise _failed(
                access,
                f"cannot be started ({why}); have an executable file at this path in the "
                "operator's container, by the chart's operator.extraVolumes or an image of your "
                "own",
            ) from error
        async with _ending(process):
            try:
                async with asyncio.timeout(self._seconds):
                    output, said, status = await asyncio.gather(
                        _first(process.stdout, _OUTPUT_MAX + 1),
                        _first(process.stderr, _SAID_MAX),
                        process.wait(),
                    )
            except TimeoutError as error:
                raise _failed(
                    access,
                    f"did not end within {self._seconds:g} s, and was ended; run it by hand in the "
                    "operator's container to see what it waits for",
                ) from error
        if status != 0:
            _tell(access, said)
            raise _failed(
                access,
                f"ended with the exit status {status}, and 0 is expected; what it wrote on its "
                "standard error is in the operator's log",
            )
        if len(output) > _OUTPUT_MAX:
            raise _failed(
                access,
                f"wrote more than {_OUTPUT_MAX} bytes, and an ExecCredential is expected; correct "
                "its arguments",
            )
        return output


def read_token(output: bytes, access: Access, now: datetime) -> Token:
    """Return the token in what a program printed.

    Raises:
        PluginFailed: There is none, or it has expired.
    """
    told = _credential(output, access)
    status = told.get("status")
    status = status if isinstance(status, dict) else {}
    text = status.get("token")
    if not isinstance(text, str) or not _TOKEN.fullmatch(text):
        has = "a client certificate" if status.get("clientCertificateData") else "nothing usable"
        raise _failed(
            access,
            f"printed an ExecCredential with {has} in status, and a token on one line is expected "
            "in status.token; have it give one",
        )
    expires_at = _expiry(status.get("expirationTimestamp"), access)
    if expires_at is not None and expires_at <= now:
        raise _failed(
            access,
            f"gave a token that expired at {expires_at.isoformat()}, and it is "
            f"{now.isoformat(timespec='seconds')} here; have it give a fresh one, and compare the "
            "clocks",
        )
    return Token(text=text, given_at=now, expires_at=expires_at)


def _credential(output: bytes, access: Access) -> Mapping[str, Any]:
    try:
        told = json.loads(output)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise _failed(
            access,
            f"printed {len(output)} bytes that are no JSON object, and an ExecCredential is "
            "expected; whatever else it has to say belongs on its standard error",
        )
    for name, expected in (("kind", "ExecCredential"), ("apiVersion", EXEC_API_VERSION)):
        if told.get(name) != expected:
            raise _failed(
                access,
                f"printed an object of {name} {_plain(told.get(name))}, and {expected} is "
                "expected; take a version of it that speaks that",
            )
    return told


def _expiry(value: object, access: Access) -> datetime | None:
    if value is None:
        return None
    with contextlib.suppress(ValueError, OverflowError):
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        if found is not None and found.tzinfo is not None:
            return found.astimezone(UTC)
    raise _failed(
        access,
        "gave an expirationTimestamp that is no time with a zone, such as 2026-01-01T00:00:00Z; "
        "have it give one, or none",
    )


def _environment(access: Access, own: Mapping[str, str]) -> dict[str, str]:
    config = access.provider.exec_config
    spec: dict[str, Any] = {"interactive": False}
    if config.provide_cluster_info:
        spec["cluster"] = access.cluster
    info = {"apiVersion": EXEC_API_VERSION, "kind": "ExecCredential", "spec": spec}
    return {
        **{name: own[name] for name in _KEPT if name in own},
        **{one.name: one.value for one in config.env},
        EXEC_INFO: json.dumps(info),
    }


@contextlib.asynccontextmanager
async def _ending(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """End a process with all that it started where the block does not end by itself."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        await _reap(process.pid)
        raise


async def _reap(group: int) -> None:
    """Take leave of what an ended program had started: a pod's first process inherits it."""
    with contextlib.suppress(ChildProcessError):
        for _ in range(_REAP_TIMES):
            if os.waitpid(-group, os.WNOHANG) == (0, 0):
                await asyncio.sleep(_REAP_SECONDS)


async def _first(stream: asyncio.StreamReader | None, most: int) -> bytes:
    """Return the first bytes of a stream, and let go of the rest, so that nobody waits to write."""
    assert stream is not None  # noqa: S101 - it was asked for
    kept = b""
    while part := await stream.read(most):
        kept += part[: most - len(kept)]
    return kept


def _tell(access: Access, said: bytes) -> None:
    words = " ".join(said.decode(errors="replace").split())
    # Programs print what they hold when they fail.
    _LOG.warning(
        "the credential plugin %s said: %s", access.provider.name, _SECRETIVE.sub("…", words)
    )


def _plain(value: object) -> str:
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else "that is not told here"


def _failed(access: Access, what: str) -> PluginFailed:
    provider = access.provider
    return PluginFailed(
        f"The credential plugin {provider.exec_config.command} for {access.source} {what}"
    )
