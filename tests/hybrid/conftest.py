"""Three real clusters joined by lines, with the operator on the first of them."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cluster import bringup, machine, serving_images
from cluster.options import ClusterOptions
from cluster.running import Cluster
from cluster.wan import Wan
from support.clusters import LOGS
from support.hybrid import CLOUD, EDGE, ONPREM, Hybrid, HybridTeam, declared
from support.installation import installed

EDGE_MEMORY = 6144
"""MiB: room for one small pool."""


@pytest.fixture(scope="session")
def sites(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Cluster]]:
    """The clusters with the project's images, by the names of their ModelClusters."""
    if problem := machine.unsupported():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(problem)
    prefix: str | None = request.config.getoption("--hybrid")
    images = [serving_images.OPERATOR, serving_images.SERVING_CPU]
    archives = serving_images.build(images, tmp_path_factory.mktemp("images"))
    with ExitStack() as held:
        clusters = {}
        for name, short, memory in _KINDS:
            if prefix is not None:
                clusters[name] = Cluster.find(f"{prefix}{short}")
            else:
                options = ClusterOptions(name=f"h{short}", memory=memory)
                logs = LOGS if os.environ.get("CI") else None
                clusters[name] = held.enter_context(bringup.lent(options, keep_logs=logs))
            for archive in archives:
                clusters[name].import_image(archive)
        yield clusters


_KINDS = ((CLOUD, "cloud", None), (ONPREM, "onprem", None), (EDGE, "edge", EDGE_MEMORY))


@pytest.fixture(scope="session")
def lines(sites: dict[str, Cluster]) -> Iterator[Wan]:
    """The lines between them; the edge is behind a NAT."""
    wan = Wan("hybrid", sites, {EDGE})
    wan.join()
    try:
        yield wan
    finally:
        wan.leave()


@pytest.fixture(scope="session")
def hybrid(
    sites: dict[str, Cluster], lines: Wan, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hybrid]:
    """The hub, and the two others joined to it."""
    volumes: Path = tmp_path_factory.mktemp("volumes")
    hub = sites[CLOUD]
    operator, serving = serving_images.OPERATOR.reference, serving_images.SERVING_CPU.reference
    with (
        installed(hub, volumes, operator, serving) as made,
        declared(Hybrid(hub=made, clusters=sites, volumes=volumes, wan=lines)) as ready,
    ):
        yield ready


@pytest.fixture
def team(hybrid: Hybrid) -> Iterator[HybridTeam]:
    """A namespace of the test's own, in all clusters."""
    made = hybrid.new_team()
    yield made
    hybrid.remove_team(made)
