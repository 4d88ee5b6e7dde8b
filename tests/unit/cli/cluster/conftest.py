"""A fake cluster, and a kubeconfig whose context speaks to it and names the namespace `team`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from builders.cluster_objects import install
from builders.fake_cluster import TEAM, FakeCluster, fake_cluster


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
