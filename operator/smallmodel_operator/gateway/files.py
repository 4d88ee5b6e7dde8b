"""Envoy's files in the pod's own folder, replaced by renames so that Envoy sees whole ones only."""

import os
from pathlib import Path
from typing import Final

from smallmodel_operator.plan.gateway.cluster_values import (
    BOOTSTRAP_FILE,
    CLUSTER_CLUSTERS_FILE,
    CLUSTER_ROUTES_FILE,
    CLUSTERS_FOLDER,
    ROUTES_FOLDER,
)
from smallmodel_operator.plan.gateway.config_map import (
    InvalidSnapshot,
    contract_of,
    read_discovery,
    read_snapshot,
)
from smallmodel_operator.plan.gateway.values import DiscoveryFile, GatewayConfig

_DISCOVERY: Final = "discovery"


class GatewayFiles:
    """The three files of one Envoy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bootstrap = folder / BOOTSTRAP_FILE
        self.routes = folder / _DISCOVERY / ROUTES_FOLDER / CLUSTER_ROUTES_FILE
        self.clusters = folder / _DISCOVERY / CLUSTERS_FOLDER / CLUSTER_CLUSTERS_FILE

    def read(self) -> GatewayConfig | None:
        """Return what lies there, or None where a file is missing or cannot be read."""
        try:
            bootstrap = self.bootstrap.read_text(encoding="utf-8")
            contract_of(bootstrap)
            return GatewayConfig(
                bootstrap=bootstrap,
                routes=read_discovery(self.routes.read_text(encoding="utf-8"), self.routes.name),
                clusters=read_discovery(
                    self.clusters.read_text(encoding="utf-8"), self.clusters.name
                ),
            )
        except (FileNotFoundError, UnicodeDecodeError, InvalidSnapshot):
            return None

    def write(self, config: GatewayConfig) -> None:
        """Write all three; the bootstrap last, since Envoy starts once it is there.

        Raises:
            OSError: The folder cannot be written.
        """
        self.write_clusters(config.clusters)
        self.write_routes(config.routes)
        self._replace(self.bootstrap, config.bootstrap)

    def write_clusters(self, file: DiscoveryFile) -> None:
        """Replace the clusters, unless they are the same.

        Raises:
            OSError: The folder cannot be written.
        """
        self._replace(self.clusters, file.text)

    def write_routes(self, file: DiscoveryFile) -> None:
        """Replace the routes, unless they are the same.

        Raises:
            OSError: The folder cannot be written.
        """
        self._replace(self.routes, file.text)

    def _replace(self, path: Path, text: str) -> None:
        if path.is_file() and path.read_bytes() == text.encode():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        # Outside the folders that Envoy watches, so that it is told of the rename alone, and on the
        # same volume, where a rename is whole.
        new = self.folder / f".{path.name}.new"
        new.write_text(text, encoding="utf-8")
        os.replace(new, path)


def read_seed(folder: Path) -> GatewayConfig | None:
    """Return what a mounted ConfigMap holds, or None where there is none yet.

    Raises:
        InvalidSnapshot: There is one, and it is cut or edited.
    """
    # The kubelet swaps a link of the whole folder, so a mix of two versions can be read; their
    # common version tells.
    entries = (
        {
            path.name: path.read_bytes()
            for path in folder.iterdir()
            if path.is_file() and not path.name.startswith("..")
        }
        if folder.is_dir()
        else {}
    )
    return read_snapshot(entries) if entries else None
