"""The calls that are made of an API server, ready to be sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from smallmodel_operator.api.names import MANAGER
from smallmodel_operator.clusters.ref import ACCESS_REVIEWS, SECRETS, Manifest, Ref, Resource

JSON: Final = "application/json"
_MERGE_PATCH: Final = "application/merge-patch+json"
# JSON is YAML, so that a JSON body is right under this type, which every supported version knows.
_APPLY_PATCH: Final = "application/apply-patch+yaml"
_METADATA_ONLY: Final = f"{JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
# An unknown field is a mistake, and without this it would be dropped in silence.
_WRITING: Final[Mapping[str, str]] = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a call asks for, in the terms of an RBAC rule."""

    verb: str
    group: str = ""
    resource: str
    """A plural, or the path where it is no resource that is asked for."""
    subresource: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call, ready to be sent."""

    call: Call
    what: str
    """For people, fit to begin a sentence: `apply RayService team/cpu-1`."""
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = JSON
    accept: str = JSON
    confidential: bool = False
    """The body holds a Secret, which the API server may quote in a refusal."""

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does what sending it once does, whatever happens between."""
        return self.method == "GET"


def _call(verb: str, resource: Resource, subresource: str = "") -> Call:
    return Call(verb=verb, group=resource.group, resource=resource.plural, subresource=subresource)


def read(ref: Ref, subresource: str = "", query: Mapping[str, str] = NOTHING) -> Request:
    """Return the call that reads an object, or a subresource of it."""
    return Request(
        call=_call("get", ref.resource, subresource),
        what=f"read {f'the {subresource} of ' if subresource else ''}{ref}",
        method="GET",
        path=f"{ref.path}/{subresource}" if subresource else ref.path,
        query=query,
    )


def stream(ref: Ref, subresource: str, query: Mapping[str, str]) -> Request:
    """Return the call that opens a stream to a subresource.

    It is sent as a GET, and newer API servers ask for `create` as well.
    """
    return Request(
        call=_call("create", ref.resource, subresource),
        what=f"open {subresource} of {ref}",
        method="GET",
        path=f"{ref.path}/{subresource}",
        query=query,
        # Asked for JSON, it would be answered with 406.
        accept="*/*",
    )


def read_metadata(ref: Ref) -> Request:
    """Return the call that reads an object's metadata alone."""
    return replace(read(ref), accept=_METADATA_ONLY)


def read_path(path: str, query: Mapping[str, str]) -> Request:
    """Return the call that reads what is no object."""
    call = Call(verb="get", resource=path)
    return Request(call=call, what=f"read {path}", method="GET", path=path, query=query)


def read_list(resource: Resource, namespace: str | None, query: Mapping[str, str]) -> Request:
    """Return the call that reads one page of a list."""
    where = f" of namespace {namespace}" if namespace else ""
    return Request(
        call=_call("list", resource),
        what=f"list {resource.full_name}{where}",
        method="GET",
        path=resource.path(namespace),
        query=dict(query),
    )


def watch(resource: Resource, namespace: str | None, query: Mapping[str, str]) -> Request:
    """Return the call that is told of changes for as long as it lasts."""
    asked = read_list(resource, namespace, query)
    what = asked.what.replace("list", "watch", 1)
    return replace(asked, call=_call("watch", resource), what=what)


def apply(ref: Ref, body: Mapping[str, Any], *, force: bool, subresource: str = "") -> Request:
    """Return the call for a server-side apply."""
    return Request(
        call=_call("patch", ref.resource, subresource),
        what=f"apply {f'the {subresource} of ' if subresource else ''}{ref}",
        method="PATCH",
        path=f"{ref.path}/{subresource}" if subresource else ref.path,
        query={**_WRITING, "force": str(force).lower()},
        body=body,
        content_type=_APPLY_PATCH,
        confidential=ref.resource == SECRETS,
    )


def dry_run(ref: Ref, body: Mapping[str, Any]) -> Request:
    """Return the call that asks whether an apply would be taken."""
    asked = apply(ref, body, force=True)
    return replace(asked, what=f"dry run of {ref}", query={**asked.query, "dryRun": "All"})


def create(ref: Ref, body: Mapping[str, Any]) -> Request:
    """Return the call that makes an object."""
    return Request(
        call=_call("create", ref.resource),
        what=f"create {ref}",
        method="POST",
        path=ref.resource.path(ref.namespace),
        query=_WRITING,
        body=body,
        confidential=ref.resource == SECRETS,
    )


def review(call: Call, namespace: str | None) -> Request:
    """Return the call that asks whether the caller may make another one."""
    attributes = {
        "verb": call.verb,
        "group": call.group,
        "resource": call.resource,
        "subresource": call.subresource,
        "namespace": namespace or "",
    }
    return Request(
        call=_call("create", ACCESS_REVIEWS),
        what=f"ask whether {call.verb} {call.resource} is allowed",
        method="POST",
        path=ACCESS_REVIEWS.path(),
        body={
            "apiVersion": ACCESS_REVIEWS.api_version,
            "kind": ACCESS_REVIEWS.kind,
            "spec": {"resourceAttributes": {k: v for k, v in attributes.items() if v}},
        },
    )


def merge(ref: Ref, patch: Mapping[str, Any]) -> Request:
    """Return the call that changes single fields."""
    return Request(
        call=_call("patch", ref.resource),
        what=f"patch {ref}",
        method="PATCH",
        path=ref.path,
        query=_WRITING,
        body=patch,
        content_type=_MERGE_PATCH,
        confidential=ref.resource == SECRETS,
    )


def delete(ref: Ref, uid: str | None, propagation: str) -> Request:
    """Return the call that deletes an object."""
    options: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": propagation,
    }
    if uid:
        options["preconditions"] = {"uid": uid}
    return Request(
        call=_call("delete", ref.resource),
        what=f"delete {ref}",
        method="DELETE",
        path=ref.path,
        body=options,
    )


def expecting(
    manifest: Mapping[str, Any], resource_version: str | None, uid: str | None
) -> Manifest:
    """Return a manifest with what the object must be, for the write to be done at all."""
    expected = {"resourceVersion": resource_version, "uid": uid}
    known = {field: value for field, value in expected.items() if value}
    return {**manifest, "metadata": {**manifest["metadata"], **known}}
