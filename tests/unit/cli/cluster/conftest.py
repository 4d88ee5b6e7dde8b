"""A fake cluster, and a kubeconfig whose context speaks to it and names the namespace `team`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from builders.bundles import decided
from builders.cluster_objects import install
from builders.fake_cluster import TEAM, FakeCluster, fake_cluster
from builders.gap import JOIN, SECRET, Gap, agent
from builders.kube_objects import HUB
from builders.linked_clusters import kube_system
from smallmodel_operator.api.names import LABEL_ACCEPT_FROM
from smallmodel_operator.cli.errors import ExitCode
from support.command_line import Slm


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """An API server with nothing on it, which KUBECONFIG names."""
    with fake_cluster() as fake:
        path = fake.kube.kubeconfig(tmp_path)
        config = yaml.safe_load(path.read_text())
        config["contexts"][0]["context"]["namespace"] = TEAM
        path.write_text(yaml.safe_dump(config))
        monkeypatch.setenv("KUBECONFIG", str(path))
        monkeypatch.setenv("SLM_TARGET", "cluster")
        yield fake


@pytest.fixture
def cluster(bare: FakeCluster) -> FakeCluster:
    """A cluster with the operator and everything that it needs."""
    install(bare)
    return bare


@pytest.fixture
def air_gapped(tmp_path: Path) -> Iterator[FakeCluster]:
    """The cluster, whose namespace `team` takes models of the hub."""
    with fake_cluster() as fake:
        (tmp_path / "edge").mkdir()
        fake.kube.kubeconfig(tmp_path / "edge")
        install(fake)
        agent(fake)
        fake.put("/api/v1/namespaces/kube-system", kube_system("uid-edge"))
        labels = {LABEL_ACCEPT_FROM: HUB}
        fake.put("/api/v1/namespaces/team", {"metadata": {"name": "team", "labels": labels}})
        yield fake


@pytest.fixture
def unjoined(slm: Slm, cluster: FakeCluster, air_gapped: FakeCluster, tmp_path: Path) -> Gap:
    """Both, before they know each other."""
    cluster.put("/api/v1/namespaces/kube-system", kube_system("uid-hub"))
    return Gap(slm=slm, hub=cluster, edge=air_gapped, folder=tmp_path)


@pytest.fixture
def joined(unjoined: Gap) -> Gap:
    """The cluster has the keys, and nothing was carried."""
    file = unjoined.folder / "secret.yaml"
    done = unjoined.slm(*JOIN, "--secret-file", str(file), "--jurisdiction", "DE")
    assert done.code == ExitCode.OK, done.err
    unjoined.edge.put(SECRET, yaml.safe_load(file.read_text()))
    return unjoined


@pytest.fixture
def gap(joined: Gap) -> Gap:
    """The hub knows what the cluster has, and decided one model for it."""
    done = joined.hear(joined.told())
    assert done.code == ExitCode.OK, done.err
    joined.decide(decided())
    return joined
