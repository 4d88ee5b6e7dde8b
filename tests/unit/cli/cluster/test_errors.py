"""What a user does wrong, or may not do, is one message and a documented code."""

from pathlib import Path

import pytest

from builders.cluster_objects import put_model
from builders.fake_cluster import FakeCluster
from builders.fake_kube_api import refuse
from support.command_line import Outcome, Slm
from support.free_ports import free_port

COMMANDS = ("get", "describe chat", "chat chat --once hi", "url chat", "url --forward",
            "logs chat", "doctor")  # fmt: skip


def failed(outcome: Outcome, code: int, *words: str) -> None:
    assert outcome.code == code, outcome.err
    assert outcome.err.startswith("Error: ")
    assert "Traceback" not in outcome.err
    for word in words:
        assert word in outcome.err


@pytest.mark.parametrize("line", COMMANDS)
def test_no_kubeconfig(slm: Slm, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/config")
    monkeypatch.setenv("SLM_TARGET", "cluster")
    failed(slm(*line.split()), 2, "there is no file /nowhere/config", "--kubeconfig")


@pytest.mark.parametrize("line", COMMANDS)
def test_an_unknown_context_lists_those_there_are(
    slm: Slm, cluster: FakeCluster, line: str
) -> None:
    failed(slm(*line.split(), "--context", "production"), 2, "'production'", "it has: fake")


def test_a_kubeconfig_without_a_current_context(
    slm: Slm, cluster: FakeCluster, tmp_path: Path
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(path.read_text().replace("current-context: fake\n", ""))
    failed(slm("get"), 2, "has no current context; choose one by --context, it has: fake")
    assert slm("get", "--context", "fake").code == 0


@pytest.mark.parametrize("text", ["[", "just a text", "contexts: 3"])
def test_a_file_that_is_no_kubeconfig(slm: Slm, tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    failed(slm("get", "--kubeconfig", path), 2, f"{path}", "kubeconfig")


@pytest.mark.parametrize("line", COMMANDS)
def test_a_cluster_that_is_not_there(
    slm: Slm, bare: FakeCluster, tmp_path: Path, line: str
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(path.read_text().replace(bare.kube.url, f"http://127.0.0.1:{free_port()}"))
    failed(slm(*line.split()), 1, "cannot be reached", "check the address")


@pytest.mark.parametrize("line", [line for line in COMMANDS if line != "doctor"])
def test_who_may_not_read_is_told_what_to_ask_for(
    slm: Slm, cluster: FakeCluster, line: str
) -> None:
    cluster.forbidden = {"smallmodels", "deployments"}
    failed(slm(*line.split()), 1, "answered 403", "grant it by a Role")


@pytest.mark.parametrize("line", ["get", "describe chat", "url chat", "logs chat"])
def test_without_the_definitions_the_chart_is_named(slm: Slm, bare: FakeCluster, line: str) -> None:
    bare.not_served = {"smallmodel.dev"}
    failed(slm(*line.split()), 4, "helm upgrade --install smallmodel-operator", "slm doctor")


def test_an_unknown_namespace(slm: Slm, cluster: FakeCluster) -> None:
    failed(slm("get", "-n", "tema"), 4, "no namespace 'tema'", "kubectl create namespace tema")


def test_an_unknown_model_with_a_near_name(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    failed(slm("describe", "chats"), 4, "no SmallModel 'chats' in namespace team", "mean chat?")


def test_an_unknown_model_among_others(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    failed(slm("url", "embed"), 4, "the models there are chat")


def test_an_unknown_model_where_there_is_none(slm: Slm, cluster: FakeCluster) -> None:
    failed(slm("logs", "chat"), 4, "it has none; `slm get -A`")


def test_who_may_not_read_namespaces_gets_the_empty_list(slm: Slm, cluster: FakeCluster) -> None:
    cluster.put("/api/v1/namespaces/other", {"metadata": {"name": "other"}})
    cluster.kube.replies = [None, refuse(403)]
    assert slm("get", "-n", "other").code == 0


def test_credentials_that_ran_out(slm: Slm, cluster: FakeCluster) -> None:
    cluster.kube.replies = [refuse(401)]
    failed(slm("get"), 1, "answered 401", "renew the credentials")


def test_the_extra_that_is_missing_is_named(
    slm: Slm, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "smallmodel_operator.clusters.api", None)
    failed(slm("get"), 1, "install `smallmodel-operator[cli,cluster]`")
