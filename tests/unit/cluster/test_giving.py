"""Tests get a cluster, or the reason why there is none."""

from pathlib import Path

import pytest

from cluster import cli, machine, network
from cluster.options import ClusterOptions
from cluster.problems import ClusterProblem
from support.clusters import given_cluster

OPTIONS = ClusterOptions(name="never")
WHY = "needs root: run it as root"


class FakeConfig:
    """What the plugin asks of pytest's configuration."""

    def __init__(self, **given: object) -> None:
        self._given = given

    def getoption(self, name: str) -> object:
        return self._given.get(name.removeprefix("--"))


def give(**given: object) -> object:
    with given_cluster(FakeConfig(**given), OPTIONS) as cluster:  # type: ignore[arg-type]  # the fake has the one method that is used
        return cluster


@pytest.fixture
def no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "unsupported", lambda: WHY)


@pytest.mark.usefixtures("no_root")
def test_without_root_a_test_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"{WHY}.*--kubeconfig"):
        give()


@pytest.mark.usefixtures("no_root")
def test_in_ci_a_test_that_cannot_run_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=WHY):
        give()


@pytest.mark.usefixtures("no_root")
def test_a_cluster_of_somebody_elses_needs_no_root(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("{}")
    cluster = give(kubeconfig=tmp_path / "config")
    assert getattr(cluster, "native", None) is False


@pytest.mark.usefixtures("no_root")
@pytest.mark.parametrize("words", [["up"], ["down"], ["parts"]])
def test_the_command_says_that_it_needs_root(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 1
    assert capsys.readouterr().err == f"cluster: {WHY}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["up", "--fake-gpu", "L4"], "is not PRODUCT:COUNT:MEMORY"),
        (["up", "Dev"], "a letter, then at most 15"),
        (["up", "--nodes", "99"], "less than or equal to 8"),
        (["up", "--no-kubelet", "--nodes", "2"], "has no nodes"),
        (["up", "--image", "/nonexistent.tar"], "there is no such file"),
        (["stop", "never", "etcd"], "there is no cluster never"),
    ],
)
def test_a_wrong_argument_is_told_without_a_traceback(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("routes", "refused"),
    [
        ('[{"dst": "default", "dev": "eth0"}]', False),
        ('[{"dst": "10.0.0.0/8", "dev": "eth0"}]', False),
        ('[{"dst": "198.18.9.0/24", "dev": "slm0n0"}]', False),
        ('[{"type": "unreachable", "dst": "198.18.0.0/15", "flags": []}]', False),
        ('[{"dst": "198.18.9.0/24", "dev": "eth1"}]', True),
        ('[{"dst": "198.19.255.1", "dev": "wg0"}]', True),
    ],
)
def test_a_machine_whose_own_network_is_in_the_range_is_refused(
    routes: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "run", lambda *_words: routes)
    if refused:
        with pytest.raises(ClusterProblem, match="this machine has a route to"):
            network.require_free_range()
    else:
        network.require_free_range()
