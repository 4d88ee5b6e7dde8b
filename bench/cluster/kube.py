"""A small client of the API server, so that nothing is measured by what is being measured."""

import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

JSON: Final = "application/json"
MERGE: Final = "application/merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"

_MANAGER: Final = "bench"
_CONNECTIONS: Final = 32
_LARGEST_EVENT: Final = 16 * 2**20


class KubeError(Exception):
    """The API server refused."""


class Kube:
    """One API server, as its administrator."""

    def __init__(self, address: str, pki: Path) -> None:
        tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        tls.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self._address = address
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=_CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            read_bufsize=_LARGEST_EVENT,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def get(self, path: str) -> dict[str, Any]:
        """Read an object or a list."""
        return await self._ask("GET", path)

    async def create(self, path: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Make an object below the path of its kind."""
        return await self._ask("POST", path, manifest)

    async def merge(self, path: str, patch: dict[str, Any]) -> dict[str, Any]:
        """Change fields of an object."""
        return await self._ask("PATCH", path, patch, MERGE)

    async def apply(self, path: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Have an object be as the manifest says."""
        query = f"?fieldManager={_MANAGER}&force=true"
        return await self._ask("PATCH", path + query, manifest, APPLY)

    async def watch(self, path: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Yield every object of a path, first those that are there, and then each change.

        The API server ends a watch where a kind is defined anew; it then begins once more.
        """
        query = "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
        while True:
            async with self._session.get(self._address + path + query) as answer:
                await _check(answer, path)
                async for line in answer.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise KubeError(f"watch {path}: {event['object']}")
                    yield event["type"], event["object"]

    async def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, content_type: str = JSON
    ) -> dict[str, Any]:
        async with self._session.request(
            method,
            self._address + path,
            data=None if body is None else json.dumps(body),
            headers={"content-type": content_type},
        ) as answer:
            await _check(answer, f"{method} {path}")
            found: dict[str, Any] = await answer.json()
            return found


async def _check(answer: aiohttp.ClientResponse, what: str) -> None:
    if answer.status >= 400:
        raise KubeError(f"{what}: {answer.status}, {(await answer.text())[:500]}")
