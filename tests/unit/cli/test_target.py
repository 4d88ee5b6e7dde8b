"""Which of the two a command line speaks to."""

import subprocess
import sys
from pathlib import Path

import pytest

from smallmodel_operator.cli.errors import CommandError
from smallmodel_operator.cli.target import Target, choose_target
from support.command_line import Slm


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("get", Target.LOCAL),
        ("get chat -o yaml", Target.LOCAL),
        ("get -A", Target.CLUSTER),
        ("get -n team", Target.CLUSTER),
        ("get --namespace=team", Target.CLUSTER),
        ("describe chat --context kind", Target.CLUSTER),
        ("doctor --kubeconfig=/a/file", Target.CLUSTER),
        ("--debug get -n team", Target.CLUSTER),
        ("validate --server a.yaml", Target.CLUSTER),
        ("validate a.yaml", Target.LOCAL),
        ("url chat", Target.CLUSTER),
        ("logs chat -n 20", Target.LOCAL),
        ("logs chat -n team", Target.CLUSTER),
        ("logs chat --namespace 20", Target.CLUSTER),
        ("chat chat --once hello -- -n", Target.LOCAL),
        ("up chat.yaml", Target.LOCAL),
        ("", Target.LOCAL),
    ],
)
def test_an_option_of_clusters_chooses_the_cluster(line: str, target: Target) -> None:
    assert choose_target(line.split(), {}) is target


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("get", Target.CLUSTER),
        ("logs chat -n 20", Target.CLUSTER),
        ("up chat.yaml", Target.LOCAL),
        ("version", Target.LOCAL),
        ("catalog list", Target.LOCAL),
    ],
)
def test_the_environment_decides_where_the_line_does_not(line: str, target: Target) -> None:
    assert choose_target(line.split(), {"SLM_TARGET": "cluster"}) is target


def test_an_option_comes_before_the_environment() -> None:
    assert choose_target(["get", "-n", "team"], {"SLM_TARGET": "local"}) is Target.CLUSTER


def test_another_value_of_the_variable_is_refused() -> None:
    with pytest.raises(CommandError, match="SLM_TARGET is 'kube'; write local or cluster"):
        choose_target(["get"], {"SLM_TARGET": "kube"})


def test_as_a_plugin_of_kubectl_it_speaks_to_a_cluster(tmp_path: Path) -> None:
    plugin = Path(sys.executable).with_name("kubectl-slm")
    ended = subprocess.run(
        [plugin, "get"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert f"there is no file {tmp_path}/.kube/config" in ended.stderr


def test_a_cluster_is_spoken_to_from_other_platforms_too(
    slm: Slm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert slm("get", "--help").code == 7
    assert slm("url", "--help").code == 0


def test_local_commands_import_nothing_of_clusters() -> None:
    program = (
        "import sys\n"
        "from smallmodel_operator.cli.main import main\n"
        "main(['version'])\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in {'aiohttp', 'kubernetes'}\n"
        "             or 'cli.cluster' in m))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines()[-1] == "[]"
