"""Containers of pods are killed by their labels, as far as they run."""

from pathlib import Path

import pytest

from cluster import containers
from cluster.folders import ClusterFiles

_CTR = Path("/usr/bin/ctr")


@pytest.fixture
def fake_ctr(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of a containerd in which a pod has an ended and two running containers."""
    asked: list[str] = []

    def answer(*command: str | Path) -> str:
        words = " ".join(map(str, command)).split("--namespace k8s.io ")[1]
        asked.append(words)
        if words == "tasks list --quiet":
            return "envoy\nsandbox\nagent\nstranger\n"
        return "init\nenvoy\nagent\n" if '"io.kubernetes.pod.name"==gateway-a' in words else ""

    monkeypatch.setattr(containers, "run", answer)
    return asked


def test_all_that_runs_in_a_pod_is_killed_but_its_sandbox(fake_ctr: list[str]) -> None:
    node = ClusterFiles("never").node(0)

    containers.kill_containers(node, "system", ["gateway-a", "gateway-b"], _CTR)

    killed = [words for words in fake_ctr if words.startswith("tasks kill")]
    assert killed == [f"tasks kill --signal SIGKILL {name}" for name in ("agent", "envoy")]
    looked = [words for words in fake_ctr if words.startswith("containers list --quiet ")]
    assert len(looked) == 2
    assert all('labels."io.kubernetes.pod.namespace"==system' in words for words in looked)
    assert all('labels."io.cri-containerd.kind"==container' in words for words in looked)
