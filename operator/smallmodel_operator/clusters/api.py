"""The verbs of an API server, on plain manifests.

What carries them is `connection.py`'s, and how each is written down `requests.py`'s.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import aiohttp

from smallmodel_operator.clusters import errors, requests
from smallmodel_operator.clusters.connection import Connection
from smallmodel_operator.clusters.ref import Manifest, Ref, Resource, ref_of
from smallmodel_operator.clusters.refusals import Answer, refusal
from smallmodel_operator.clusters.requests import NOTHING, Call

_PAGE: Final = 500
Propagation = Literal["Background", "Foreground", "Orphan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list."""

    items: list[Manifest]
    resource_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a watch tells."""

    manifest: Manifest
    gone: bool = False
    bookmark: bool = False
    """Nothing changed until this version; there is no object."""

    @property
    def version(self) -> str:
        """The version from which another watch would go on."""
        version: str = self.manifest["metadata"]["resourceVersion"]
        return version


class Api(Connection):
    """One API server."""

    async def get(self, ref: Ref) -> Manifest | None:
        """Return the object, or None where there is none of that name.

        Raises:
            ApiError: It could not be read; `ApiMissing` where the kind is not served.
        """
        try:
            answer = await self._send(requests.read(ref))
        except errors.NotFound:
            return None
        return _manifest(answer)

    async def get_metadata(self, ref: Ref) -> Manifest | None:
        """Return an object's metadata alone, or None: for objects that are long.

        Raises:
            ApiError: It could not be read; `ApiMissing` where the kind is not served.
        """
        try:
            return _manifest(await self._send(requests.read_metadata(ref)))
        except errors.NotFound:
            return None

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
    ) -> tuple[list[Manifest], str]:
        """Return all objects, and the resource version from which to watch.

        Args:
            resource: The kind.
            namespace: None: of all namespaces.
            labels: A label selector.
            fields: A field selector.

        Raises:
            ApiError: It could not be read; `ApiMissing` where the kind is not served.
        """
        try:
            return await _whole(self.pages(resource, namespace, labels=labels, fields=fields))
        except errors.ListExpired:
            return await _whole(self.pages(resource, namespace, labels=labels, fields=fields))

    async def pages(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
    ) -> AsyncIterator[Page]:
        """Yield all objects in pages, so that what is not kept takes no memory.

        Raises:
            ApiError: It could not be read; `ListExpired` where reading took some minutes.
        """
        query = {"limit": str(_PAGE)}
        query.update({"labelSelector": labels} if labels else {})
        query.update({"fieldSelector": fields} if fields else {})
        while True:
            told = _manifest(await self._send(requests.read_list(resource, namespace, query)))
            kind = {"apiVersion": resource.api_version, "kind": resource.kind}
            metadata = told.get("metadata") or {}
            # An API server leaves both out of the items of its own kinds.
            items = [{**kind, **item} for item in told.get("items") or ()]
            yield Page(items=items, resource_version=metadata.get("resourceVersion", ""))
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        version: str,
        lasts: int,
        silence: float,
    ) -> AsyncIterator[Change]:
        """Yield what changes from a version on, until the API server ends it.

        Args:
            resource: The kind.
            namespace: None: of all namespaces.
            version: That of a list, or of the last change that was told.
            lasts: Seconds after which the API server ends it, which is usual.
            silence: Seconds without a word after which the connection is taken for dead; of kinds
                that nobody changes, API servers tell their version about once a minute.

        Raises:
            ApiError: It was refused, or broke; `ListExpired` where the version is too old, and
                everything has to be listed anew.
        """
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(lasts),
        }
        request = requests.watch(resource, namespace, query)
        lines = await self._open_lines(request, silence)
        try:
            async for line in lines:
                if line:
                    yield _change(line, request.what)
        finally:
            lines.close()

    async def apply(
        self,
        manifest: Mapping[str, Any],
        *,
        resource_version: str | None = None,
        uid: str | None = None,
        force: bool = True,
    ) -> Manifest:
        """Have the object be as the manifest says, by server-side apply, and return it.

        Fields that this manager applied earlier and that the manifest lacks are removed; other
        managers' fields stay.

        Args:
            manifest: All fields that are the operator's business.
            resource_version: The version that the manifest was computed from, if another one is
                to be a conflict. An object that is not there is made nevertheless: give `uid`.
            uid: The object's identity, if another object of the same name, or none, is to be a
                conflict.
            force: Take fields over from other managers. False: that is a conflict.

        Raises:
            ApiError: It was not done; `Conflict`, `Invalid`, `Forbidden`, `NamespaceEnding`,
                `NamespaceMissing` and `ApiMissing` among others.
            ValueError: The operator does not use objects of this kind.
        """
        ref = ref_of(manifest)
        body = requests.expecting(manifest, resource_version, uid)
        answer = await self._send(requests.apply(ref, body, force=force))
        if answer.status == 201:
            self.permissions.add(
                Call(verb="create", group=ref.resource.group, resource=ref.resource.plural)
            )
        return _manifest(answer)

    async def dry_run(self, resource: Resource, namespace: str | None, manifest: Manifest) -> None:
        """Ask whether an object would be taken, by a server-side apply that is not done.

        Fields of other managers count as the manifest's, since nothing is written.

        Raises:
            ApiError: It would not be; `Invalid` where the manifest is to blame.
        """
        name = str((manifest.get("metadata") or {}).get("name") or "")
        await self._send(requests.dry_run(resource.ref(name, namespace), manifest))

    async def may(self, call: Call, namespace: str | None = None) -> bool:
        """Ask whether the caller may make a call.

        Args:
            call: What is asked for.
            namespace: None: in all of them, or of a kind that has none.

        Raises:
            ApiError: The API server does not say.
        """
        answer = _manifest(await self._send(requests.review(call, namespace)))
        return bool((answer.get("status") or {}).get("allowed"))

    async def create(self, manifest: Mapping[str, Any]) -> Manifest:
        """Make the object, and return it. For what is made once and never written again.

        Raises:
            ApiError: It was not done; `AlreadyExists` where one of that name is there.
            ValueError: The operator does not use objects of this kind.
        """
        ref = ref_of(manifest)
        return _manifest(await self._send(requests.create(ref, manifest)))

    async def patch_status(
        self,
        ref: Ref,
        status: Mapping[str, Any],
        *,
        resource_version: str | None = None,
    ) -> Manifest:
        """Have the object's status be as given, by server-side apply, and return the object.

        Args:
            ref: The object.
            status: The whole of it, as far as it is the operator's business.
            resource_version: The version that the status was computed from, if another one, or
                another object of the same name, is to be a conflict. (A uid would not do: API
                servers do not compare it when the status of a custom resource is written.)

        Raises:
            ApiError: It was not done; `NotFound` where the object is gone.
        """
        metadata = {"name": ref.name} | ({"namespace": ref.namespace} if ref.namespace else {})
        manifest = {
            "apiVersion": ref.resource.api_version,
            "kind": ref.resource.kind,
            "metadata": metadata,
            "status": status,
        }
        body = requests.expecting(manifest, resource_version, None)
        request = requests.apply(ref, body, force=True, subresource="status")
        return _manifest(await self._send(request))

    async def merge_patch(self, ref: Ref, patch: Mapping[str, Any]) -> Manifest:
        """Change single fields by a JSON merge patch, and return the object.

        A `metadata.resourceVersion` in the patch makes another version a conflict.

        Raises:
            ApiError: It was not done; `NotFound` where there is no such object.
        """
        return _manifest(await self._send(requests.merge(ref, patch)))

    async def delete(
        self,
        ref: Ref,
        *,
        uid: str | None = None,
        propagation: Propagation = "Background",
    ) -> bool:
        """Delete the object; False where it was gone already.

        Args:
            ref: The object.
            uid: Its identity, if another object of the same name is to be a conflict.
            propagation: What becomes of the objects that it owns.

        Raises:
            ApiError: It was not done.
        """
        try:
            await self._send(requests.delete(ref, uid, propagation))
        except errors.NotFound:
            return False
        return True

    async def raw(self, path: str, *, query: Mapping[str, str] = NOTHING) -> Answer:
        """Read what is no object, for example `/version`.

        Raises:
            ApiError: It could not be read.
        """
        return await self._send(requests.read_path(path, query))

    async def read_subresource(
        self, ref: Ref, subresource: str, *, query: Mapping[str, str] = NOTHING
    ) -> str:
        """Return the text of a subresource, such as a pod's `log`.

        Raises:
            ApiError: It could not be read; `NotFound` where there is no such object.
        """
        answer = await self._send(requests.read(ref, subresource, query))
        return answer.content.decode(errors="replace")

    async def websocket(
        self, ref: Ref, subresource: str, query: Mapping[str, str], protocol: str
    ) -> aiohttp.ClientWebSocketResponse:
        """Open a stream to a subresource, such as a pod's `portforward`.

        Raises:
            ApiError: It was refused; `NotFound` where there is no such object.
        """
        request = requests.stream(ref, subresource, query)
        self.permissions.add(replace(request.call, verb="get"))
        return await self._open_websocket(request, protocol)


async def _whole(pages: AsyncIterator[Page]) -> tuple[list[Manifest], str]:
    items: list[Manifest] = []
    version = ""
    async for page in pages:
        items.extend(page.items)
        version = page.resource_version
    return items, version


def _change(line: bytes, what: str) -> Change:
    try:
        told = json.loads(line)
    except ValueError as error:
        raise errors.ServerFailed(f"{what}: a line is no JSON; it is opened again") from error
    kind, manifest = told["type"], told["object"]
    if kind == "ERROR":
        content = json.dumps(manifest).encode()
        raise refusal(Answer(status=int(manifest.get("code") or 500), content=content), what)
    return Change(manifest=manifest, gone=kind == "DELETED", bookmark=kind == "BOOKMARK")


def _manifest(answer: Answer) -> Manifest:
    parsed: Manifest = answer.json()
    return parsed
