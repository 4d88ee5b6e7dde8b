"""A pytest plugin that gives tests a Kubernetes, or the reason why there is none.

`tests/conftest.py` loads it. Its fixtures:

- `cluster`: nodes, DNS and KubeRay; for tests marked e2e
- `native_cluster`: the same, for tests that stop its programs
- `control_plane`: the API alone; for tests marked api
- `member_plane`: another one, for tests of a hub and a cluster that it works on
- `node_folder`: a folder that the nodes see at the same path, for volumes
- `operator_image`, `serving_image`: names of the project's images, which the cluster then has
- `store_image`: that of a Redis

Each cluster is brought up when the first test wants it, and taken down after the last one.
"""

import gc
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import pytest

from cluster import bringup, machine, serving_images
from cluster.access import KubeAccess
from cluster.options import ClusterOptions
from cluster.running import Cluster

# The first test also waits for the cluster, and its images.
LIMIT: Final = 900
_LEFT_TO_THE_COLLECTOR: Final = (
    "ignore:Exception ignored in. <(socket|function _SelectorTransport)"
    ":pytest.PytestUnraisableExceptionWarning"
)
_COLLECTIONS: Final = 5
LOGS: Final = Path(__file__).parents[2] / ".ci" / "logs"


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
        "--host-address",
        metavar="ADDRESS",
        type=IPv4Address,
        help="with --kubeconfig: where pods of that cluster reach this machine",
    )
    group.addoption(
        "--node-folder",
        metavar="FOLDER",
        type=Path,
        help="with --kubeconfig: a folder that its nodes see at the same path",
    )
    group.addoption(
        "--cluster",
        metavar="NAME",
        help="use the cluster that `python -m cluster up NAME` brought up, and leave it up",
    )
    group.addoption(
        "--hybrid",
        metavar="PREFIX",
        help="use the clusters PREFIXcloud, PREFIXonprem and PREFIXedge, and leave them up",
    )


def _is_on_cluster(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(one) for one in ("api", "e2e", "hybrid"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Have the collector find such sockets of the last test, which nobody filters afterwards."""
    if any(map(_is_on_cluster, session.items)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            # Objects with finalizers take more than one.
            for _ in range(_COLLECTIONS):
                gc.collect()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests on a cluster more time, unless they say themselves how much.

    Where a task is cancelled while a connection is made, Python leaves its socket to the garbage
    collector, which finds it in whatever test comes next.
    """
    for item in items:
        if _is_on_cluster(item):
            item.add_marker(pytest.mark.filterwarnings(_LEFT_TO_THE_COLLECTOR))
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(LIMIT))


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[KubeAccess]:
    """A Kubernetes with nodes, DNS and KubeRay: ours, or the one of `--kubeconfig`."""
    with given_cluster(request.config, ClusterOptions(name="e2e")) as given:
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
    with given_cluster(request.config, ClusterOptions(name="api", kubelet=False)) as given:
        yield given


@pytest.fixture(scope="session")
def member_plane(request: pytest.FixtureRequest) -> Iterator[KubeAccess]:
    """A second real API server; there is none where the user named the cluster to use."""
    if request.config.getoption("--kubeconfig") or request.config.getoption("--cluster"):
        pytest.skip("needs two clusters, and one was named; run it without --kubeconfig, --cluster")
    with given_cluster(request.config, ClusterOptions(name="member", kubelet=False)) as given:
        yield given


@pytest.fixture(scope="session")
def node_folder(
    request: pytest.FixtureRequest, cluster: KubeAccess, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder that the nodes see at the same path; `make_volume` makes volumes of its folders."""
    if cluster.native:
        return tmp_path_factory.mktemp("volumes")
    folder: Path | None = request.config.getoption("--node-folder")
    if folder is None:
        pytest.skip("needs a folder that the nodes see as well: give --node-folder")
    return folder


@pytest.fixture(scope="session")
def operator_image(cluster: KubeAccess, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The operator's image, built from this checkout unless the cluster is somebody else's."""
    return _with_image(cluster, serving_images.OPERATOR, tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="session")
def serving_image(cluster: KubeAccess, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of Ray's pods on CPU nodes, built likewise."""
    return _with_image(cluster, serving_images.SERVING_CPU, tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="session")
def store_image(cluster: KubeAccess, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of a Redis, for the state of Ray's heads."""
    return _with_image(cluster, serving_images.TEST_STORE, tmp_path_factory.mktemp("image"))


def _with_image(cluster: KubeAccess, recipe: serving_images.ImageRecipe, folder: Path) -> str:
    if isinstance(cluster, Cluster):
        for archive in serving_images.build([recipe], folder):
            cluster.import_image(archive)
    return recipe.reference


@contextmanager
def given_cluster(config: pytest.Config, options: ClusterOptions) -> Iterator[KubeAccess]:
    """Give the cluster that the user named, or one that is there as long as the tests run."""
    kubeconfig: Path | None = config.getoption("--kubeconfig")
    name: str | None = config.getoption("--cluster")
    if kubeconfig:
        host_address: IPv4Address | None = config.getoption("--host-address")
        yield KubeAccess(kubeconfig.resolve(strict=True), host_address=host_address)
        return
    in_ci = bool(os.environ.get("CI"))
    if problem := machine.unsupported():
        if in_ci:
            pytest.fail(f"CI has to run these tests, and cannot: {problem}")
        pytest.skip(f"no cluster: {problem}, or give one by --kubeconfig FILE")
    if name:
        yield Cluster.find(name)
        return
    with bringup.lent(options, keep_logs=LOGS if in_ci else None) as lent:
        yield lent
