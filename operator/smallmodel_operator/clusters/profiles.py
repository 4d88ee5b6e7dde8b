"""A ClusterProfile of SIG Multicluster (KEP-4322): where a cluster is, and who gives its token.

A profile has no credentials, and says no more of a program than the name of one that the operator's
administrator listed. It is read with suspicion all the same: a token goes where it says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from smallmodel_operator.api.credential_providers import CredentialProvider
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.credentials import Credentials, KubeconfigRefused, read_cluster
from smallmodel_operator.clusters.ref import Manifest, ref_of

_CONFIG: Final = "client.authentication.k8s.io/exec"
"""The extension of a cluster that is meant for the program."""
_CORRECT: Final = "have the cluster manager that wrote it correct it"
_SHOWN: Final = 100


class ProfileRefused(errors.NoConnection):
    """The ClusterProfile does not say how to reach its cluster, or says what it may not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How a cluster is reached, but for the token."""

    source: str
    """Where that is from, for messages, fit to follow `for`."""
    provider: CredentialProvider
    """Who gives the token."""
    where: Credentials
    """The address and its authority."""
    cluster: Mapping[str, Any] = field(default_factory=dict)
    """What a program is told that asks for the cluster, as ExecCredential has it."""


class _Foreign(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Extension(_Foreign):
    name: str
    extension: Any = None


class _Provider(_Foreign):
    name: str
    cluster: Mapping[str, Any] = Field(default_factory=dict)


class _Status(_Foreign):
    access: Sequence[_Provider] = Field(default=(), alias="accessProviders")
    credential: Sequence[_Provider] = Field(default=(), alias="credentialProviders")


def read_profile(manifest: Manifest, providers: Sequence[CredentialProvider]) -> Access:
    """Return how the cluster of a profile is reached, by the first provider that it lists.

    Args:
        manifest: The ClusterProfile.
        providers: Those of the operator's administrator; the first ones are preferred.

    Raises:
        ProfileRefused: It lists none of them, or cannot be used.
    """
    profile = str(ref_of(manifest))
    listed = _listed(manifest, profile)
    for provider in providers:
        if provider.name in listed:
            return _access(provider, listed[provider.name], profile)
    raise ProfileRefused(
        f"{profile} lists {_names(listed)} in status.accessProviders, and the operator was "
        f"installed with {_names([one.name for one in providers])}; add one of the former to the "
        "chart's clusters.credentialProviders"
    )


def _listed(manifest: Manifest, profile: str) -> dict[str, Mapping[str, Any]]:
    try:
        status = _Status.model_validate(manifest.get("status") or {})
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
        raise ProfileRefused(
            f"{profile} has status.{place}, which is not as in multicluster.x-k8s.io/v1alpha1; "
            f"{_CORRECT}"
        ) from error
    # Of two with one name the older field's gives way.
    return {one.name: one.cluster for one in (*status.credential, *status.access)}


def _access(provider: CredentialProvider, cluster: Mapping[str, Any], profile: str) -> Access:
    source = f"the provider {provider.name} in {profile}"
    server = cluster.get("server")
    if not isinstance(server, str) or not server.startswith("https://"):
        raise ProfileRefused(
            f"{_begun(source)} has the server {_shown(server)}, and a token goes to none but "
            f"https://HOST[:PORT][/PATH]; {_CORRECT}"
        )
    told = {name: value for name, value in cluster.items() if name != "extensions"}
    try:
        where = read_cluster(told, _begun(source), _CORRECT)
    except KubeconfigRefused as error:
        raise ProfileRefused(str(error)) from error
    config = _config(cluster, source)
    if config is not None:
        told["config"] = config
    return Access(source=source, provider=provider, where=where, cluster=told)


def _config(cluster: Mapping[str, Any], source: str) -> object:
    extensions = cluster.get("extensions") or ()
    try:
        found = [_Extension.model_validate(one) for one in extensions]
    except (TypeError, ValidationError) as error:
        raise ProfileRefused(
            f"{_begun(source)} has extensions that are no list of name and extension; {_CORRECT}"
        ) from error
    return next((one.extension for one in found if one.name == _CONFIG), None)


def _begun(source: str) -> str:
    return source[:1].upper() + source[1:]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _names(names: Sequence[str] | Mapping[str, object]) -> str:
    return _shown(", ".join(names)).strip("'") or "no provider"
