"""A pytest plugin that gives tests a Kubernetes, or the reason why there is none.

`tests/conftest.py` loads it. Its fixtures: `cluster` (nodes, DNS, KubeRay; for tests marked e2e),
`native_cluster` (the same, whose programs may be stopped), `control_plane` (the API alone; for
tests marked api).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster import bringup, machine
from cluster.access import KubeAccess
from cluster.options import ClusterOptions
from cluster.running import Cluster


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the user name a cluster that is there."""
    group = parser.getgroup("kubernetes")
    group.addoption(
        "--kubeconfig",
        metavar="FILE",
        type=Path,
        help="use this cluster, which has KubeRay and the images, instead of bringing one up",
    )
    group.addoption(
        "--cluster",
        metavar="NAME",
        help="use the cluster that `python -m cluster up NAME` brought up, and leave it up",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests on a cluster ten minutes: the first of them also waits for the cluster."""
    for item in items:
        on_cluster = item.get_closest_marker("api") or item.get_closest_marker("e2e")
        if on_cluster and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[KubeAccess]:
    """A Kubernetes with nodes, DNS and KubeRay: ours, or the one of `--kubeconfig`."""
    with _given_cluster(request.config, ClusterOptions(name="e2e")) as given:
        yield given


@pytest.fixture
def native_cluster(cluster: KubeAccess) -> Cluster:
    """A cluster of ours, for tests that stop its programs; skips on one of `--kubeconfig`."""
    if not isinstance(cluster, Cluster):
        pytest.skip("stops programs of the cluster, which only a cluster of ours allows")
    return cluster


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest) -> Iterator[KubeAccess]:
    """A real API server, for tests of its semantics, or the one of `--kubeconfig`."""
    with _given_cluster(request.config, ClusterOptions(name="api", kubelet=False)) as given:
        yield given


@contextmanager
def _given_cluster(config: pytest.Config, options: ClusterOptions) -> Iterator[KubeAccess]:
    """Give the cluster that the user named, or one that is there as long as the tests run."""
    kubeconfig: Path | None = config.getoption("--kubeconfig")
    name: str | None = config.getoption("--cluster")
    if kubeconfig:
        yield KubeAccess(kubeconfig.resolve(strict=True))
        return
    if problem := machine.unsupported():
        if os.environ.get("CI"):
            pytest.fail(f"CI has to run these tests, and cannot: {problem}")
        pytest.skip(f"no cluster: {problem}, or give one by --kubeconfig FILE")
    if name:
        yield Cluster.find(name)
        return
    # What an earlier run left that was killed.
    bringup.down(options.name)
    try:
        yield bringup.up(options)
    finally:
        bringup.down(options.name)
