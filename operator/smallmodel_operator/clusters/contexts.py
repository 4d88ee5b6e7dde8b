"""Which cluster and namespace a kubeconfig's contexts name."""

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml
from kubernetes.aio.config.incluster_config import SERVICE_TOKEN_FILENAME
from kubernetes.aio.config.kube_config import KubeConfigMerger

from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.wire import runs_in_a_pod

_VARIABLE: Final = "KUBECONFIG"
_DEFAULT: Final = "~/.kube/config"
_DEFAULT_NAMESPACE: Final = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeContext:
    """How a user reaches a cluster."""

    kubeconfig: Path | None
    """None: as the pod that this runs in. Several files may be joined by `:`, as in KUBECONFIG."""
    name: str | None
    """None: as the pod that this runs in."""
    namespace: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a context's API server is, and how it is known to be the one."""

    server: str
    authority: bytes | None
    """As PEM; None: what the machine trusts."""
    server_name: str | None


def read_address(context: KubeContext) -> Address:
    """Return where the API server of a context is.

    Raises:
        NoConnection: The context is that of a pod, or its cluster cannot be read.
    """
    if context.kubeconfig is None:
        raise errors.NoConnection("this pod's own cluster has no kubeconfig; give --kubeconfig")
    try:
        merged = KubeConfigMerger(str(context.kubeconfig)).config.value
        contexts = {one.value["name"]: one.value["context"] for one in merged["contexts"]}
        clusters = {one.value["name"]: one for one in merged["clusters"]}
        node = clusters[contexts[context.name]["cluster"]]
        cluster, folder = node.value["cluster"], Path(node.path).parent
        data, path = (cluster.get(f"certificate-authority{kind}") for kind in ("-data", ""))
        authority = folder.joinpath(path).read_bytes() if path else None
        if data:
            authority = base64.b64decode(data)
        return Address(
            server=cluster["server"],
            authority=authority,
            server_name=cluster.get("tls-server-name"),
        )
    except (KeyError, TypeError, AttributeError, ValueError, OSError) as error:
        raise errors.NoConnection(
            f"the cluster of context {context.name} in {context.kubeconfig} cannot be read "
            f"({error}); correct the file"
        ) from error


def read_context(kubeconfig: Path | None, context: str | None) -> KubeContext:
    """Return a context of a kubeconfig.

    Args:
        kubeconfig: None: what KUBECONFIG names, else the pod that this runs in, else the default
            file.
        context: None: the current one.

    Raises:
        NoConnection: There is no such file or context, or it cannot be read.
    """
    given = kubeconfig or _from_environment()
    if given is None and context is None and runs_in_a_pod():
        path = Path(SERVICE_TOKEN_FILENAME).with_name("namespace")
        return KubeContext(kubeconfig=None, name=None, namespace=path.read_text().strip())
    paths = given or Path(_DEFAULT).expanduser()
    _must_exist(paths)
    try:
        merged = KubeConfigMerger(str(paths)).config.value
        contexts = {one.value["name"]: one.value.get("context") or {} for one in merged["contexts"]}
        current = merged.get("current-context")
    except (yaml.YAMLError, OSError, TypeError, AttributeError, KeyError, ValueError) as error:
        raise errors.NoConnection(
            f"{paths} cannot be read as a kubeconfig: {' '.join(str(error).split())}; "
            "choose another one by --kubeconfig or KUBECONFIG"
        ) from error
    return _choose(paths, contexts, context or current)


def _choose(paths: Path, contexts: dict[str, dict[str, str]], wanted: str | None) -> KubeContext:
    names = ", ".join(sorted(contexts)) or "none"
    if not wanted:
        raise errors.NoConnection(
            f"{paths} has no current context; choose one by --context, it has: {names}"
        )
    if wanted not in contexts:
        raise errors.NoConnection(
            f"there is no context {wanted!r} in {paths}; choose one by --context, it has: {names}"
        )
    namespace = contexts[wanted].get("namespace") or _DEFAULT_NAMESPACE
    return KubeContext(kubeconfig=paths, name=wanted, namespace=namespace)


def _from_environment() -> Path | None:
    given = os.environ.get(_VARIABLE)
    return Path(given) if given else None


def _must_exist(paths: Path) -> None:
    if not any(Path(path).is_file() for path in str(paths).split(os.pathsep)):
        raise errors.NoConnection(
            f"no cluster is known: there is no file {paths}; give a kubeconfig by --kubeconfig or "
            "KUBECONFIG"
        )
