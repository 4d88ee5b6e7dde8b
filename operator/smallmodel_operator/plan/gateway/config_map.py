"""The ConfigMap that carries the gateway's files from the operator to the pods, and back to files.

`kubectl` and a mounted volume show the same entries, so both are read by the one function here.
"""

import base64
import gzip
import json
import zlib
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Any, Final

import yaml

from smallmodel_operator.api.names import LABEL_MANAGED_BY, MANAGER, short_hash
from smallmodel_operator.plan.gateway.cluster_values import (
    BOOTSTRAP_FILE,
    CLUSTER_CLUSTERS_FILE,
    CLUSTER_ROUTES_FILE,
)
from smallmodel_operator.plan.gateway.values import DiscoveryFile, GatewayConfig

GATEWAY_NAME: Final = "smallmodel-gateway"
"""Of the ConfigMap, and of the Deployment and Service in the chart."""

ANNOTATION_BOOTSTRAP: Final = "smallmodel.dev/gateway-bootstrap"
"""On the pod template: another value restarts the pods, which is how Envoy gets a bootstrap."""

CONFIG_MAP_LIMIT: Final = 2**20
"""Bytes that the API server takes (`MaxSecretSize` in Kubernetes' `core/types.go`)."""

VERSION_KEY: Final = "version"
_COMPRESSED: Final = ".gz"
_LEVEL: Final = 3
"""Of a thousand models it makes 97 KiB in a quarter of the time in which the best makes 75."""
# Where PyYAML was built without libyaml, its own loader reads the same, ten times slower.
_LOADER: Final[type[Any]] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_VERSION_DIGITS: Final = 12


class InvalidSnapshot(ValueError):
    """What should be the gateway's files is cut, foreign, or not for this Envoy."""


class SnapshotTooLarge(ValueError):
    """The files do not fit into a ConfigMap."""


def snapshot_version(config: GatewayConfig) -> str:
    """Return what changes with any of the three files."""
    parts = [config.bootstrap, config.routes.version, config.clusters.version]
    return short_hash(json.dumps(parts), _VERSION_DIGITS)


def gateway_config_map(config: GatewayConfig, namespace: str) -> dict[str, Any]:
    """Return the ConfigMap as the API server takes it.

    Raises:
        SnapshotTooLarge: Even compressed, the files exceed the limit of a ConfigMap.
    """
    compressed = {
        CLUSTER_CLUSTERS_FILE + _COMPRESSED: _compress(config.clusters.text),
        CLUSTER_ROUTES_FILE + _COMPRESSED: _compress(config.routes.text),
    }
    # The limit is on decoded values; their names and the rest of the object are far below it.
    size = len(config.bootstrap.encode()) + sum(map(len, compressed.values()))
    if size > CONFIG_MAP_LIMIT:
        raise SnapshotTooLarge(
            f"the gateway's files have {size} bytes compressed, and a ConfigMap takes "
            f"{CONFIG_MAP_LIMIT}; serve fewer models from this cluster, or admit networks in "
            "place of single addresses"
        )
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": GATEWAY_NAME,
            "namespace": namespace,
            "labels": {LABEL_MANAGED_BY: MANAGER},
        },
        "data": {BOOTSTRAP_FILE: config.bootstrap, VERSION_KEY: snapshot_version(config)},
        "binaryData": {
            name: base64.b64encode(content).decode() for name, content in compressed.items()
        },
    }


def gateway_restart(config: GatewayConfig, namespace: str) -> dict[str, Any]:
    """Return the part of the gateway's Deployment that restarts it with another bootstrap.

    To be applied after the ConfigMap, by the operator's own field manager.
    """
    annotations = {ANNOTATION_BOOTSTRAP: short_hash(config.bootstrap)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": GATEWAY_NAME, "namespace": namespace},
        "spec": {"template": {"metadata": {"annotations": annotations}}},
    }


def entries_of(config_map: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the entries of a ConfigMap as the files that a volume of it would have.

    Raises:
        InvalidSnapshot: Binary data is no base64.
    """
    texts = config_map.get("data") or {}
    binary = config_map.get("binaryData") or {}
    try:
        decoded = {name: base64.b64decode(text, validate=True) for name, text in binary.items()}
    except Base64Error as error:
        raise InvalidSnapshot(f"binaryData is not base64: {error}") from error
    return decoded | {name: text.encode() for name, text in texts.items()}


def read_snapshot(entries: Mapping[str, bytes]) -> GatewayConfig:
    """Return the gateway's files from the entries of its ConfigMap.

    Raises:
        InvalidSnapshot: An entry is missing or cut, or they are not of one version.
    """
    config = GatewayConfig(
        bootstrap=_text(entries, BOOTSTRAP_FILE),
        routes=read_discovery(_decompress(entries, CLUSTER_ROUTES_FILE), CLUSTER_ROUTES_FILE),
        clusters=read_discovery(_decompress(entries, CLUSTER_CLUSTERS_FILE), CLUSTER_CLUSTERS_FILE),
    )
    contract_of(config.bootstrap)
    said, found = _text(entries, VERSION_KEY), snapshot_version(config)
    if said != found:
        raise InvalidSnapshot(
            f"the entries are of version {found} and {VERSION_KEY!r} says {said}: they were edited "
            "by hand or belong to two versions"
        )
    return config


def read_discovery(text: str, name: str) -> DiscoveryFile:
    """Return a discovery file with its version.

    Raises:
        InvalidSnapshot: It is no JSON of that form.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidSnapshot(f"{name} is not JSON: {error}") from error
    match found:
        case {"resources": list(resources), "version_info": str(version)}:
            # There may be no pools yet, but there is always the one table of routes.
            if resources or name != CLUSTER_ROUTES_FILE:
                return DiscoveryFile(text=text, version=version)
    raise InvalidSnapshot(f"{name} has no resources or no version")


def contract_of(bootstrap: str) -> int:
    """Return which contract between bootstrap and routes a bootstrap belongs to.

    Raises:
        InvalidSnapshot: It is no bootstrap of this project.
    """
    try:
        found = yaml.load(bootstrap, _LOADER)  # noqa: S506 - both loaders are safe ones
    except yaml.YAMLError as error:
        raise InvalidSnapshot(f"{BOOTSTRAP_FILE} is not YAML: {error}") from error
    match found:
        case {"node": {"metadata": {"contract": int(contract)}}}:
            return contract
    raise InvalidSnapshot(f"{BOOTSTRAP_FILE} has no node.metadata.contract")


def _compress(text: str) -> bytes:
    # Without a time in it the same text is the same bytes.
    return gzip.compress(text.encode(), _LEVEL, mtime=0)


def _decompress(entries: Mapping[str, bytes], name: str) -> str:
    try:
        return gzip.decompress(_entry(entries, name + _COMPRESSED)).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InvalidSnapshot(f"{name}{_COMPRESSED} cannot be read: {error}") from error


def _text(entries: Mapping[str, bytes], name: str) -> str:
    try:
        return _entry(entries, name).decode()
    except UnicodeDecodeError as error:
        raise InvalidSnapshot(f"{name} is not UTF-8: {error}") from error


def _entry(entries: Mapping[str, bytes], name: str) -> bytes:
    if name not in entries:
        raise InvalidSnapshot(f"{name} is missing; present: {', '.join(sorted(entries)) or 'none'}")
    return entries[name]
