"""The programs that are built from Go modules."""

from pathlib import Path

import pytest

from cluster import golang
from cluster.problems import ClusterProblem

FAKE_GO = """#!/bin/sh
case "$1 $2" in
  "env GOPROXY") echo https://proxy.example ;;
  "mod download") echo "reading $3/@v/v1.zip: 403 Forbidden" >&2; exit 1 ;;
  *) echo "not expected: $*" >&2; exit 3 ;;
esac
"""


@pytest.fixture
def fake_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A go whose module proxy gives nothing out."""
    program = tmp_path / "bin" / "go"
    program.parent.mkdir()
    program.write_text(FAKE_GO)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.usefixtures("fake_go")
def test_a_proxy_that_refuses_kuberay_is_told_as_what_it_is() -> None:
    told: list[str] = []
    with pytest.raises(ClusterProblem) as refused:
        golang.kuberay().build(told.append)
    message = str(refused.value)
    assert "proxy (https://proxy.example) does not give out" in message
    assert golang.KUBERAY_MODULE in message
    assert "Set GOPROXY" in message
    assert "403 Forbidden" in message
    assert told == ["building kuberay-operator from its Go modules, once"]


def test_without_go_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ClusterProblem, match=r"install Go 1\.26 or newer"):
        golang.require_go()


def test_another_flag_source_or_version_is_another_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golang, "SOURCES", tmp_path)
    source = tmp_path / "tool"
    source.mkdir()
    (source / "go.mod").write_text("module tool\n")
    (source / "main.go").write_text("package main\n")
    keys = {golang.GoProgram(folder="tool", output="tool").key()}
    keys.add(golang.GoProgram(folder="tool", output="tool", stamp={"main.v": "1"}).key())
    (source / "go.mod").write_text("module tool\n\ngo 1.26.0\n")
    keys.add(golang.GoProgram(folder="tool", output="tool").key())
    (source / "main.go").write_text("package main // changed\n")
    keys.add(golang.GoProgram(folder="tool", output="tool").key())
    (source / "notes.txt").write_text("not compiled\n")
    keys.add(golang.GoProgram(folder="tool", output="tool").key())
    assert len(keys) == 4


def test_kubernetes_says_its_own_version() -> None:
    flags = " ".join(golang.kube().flags())
    assert "-X k8s.io/component-base/version.gitVersion=v1." in flags
    assert "-X k8s.io/client-go/pkg/version.gitMajor=1 " in flags


@pytest.mark.parametrize("folder", ["coredns", "kube", "kuberay", "pause"])
def test_every_module_is_locked(folder: str) -> None:
    source = golang.SOURCES / folder
    required = "require" in (source / "go.mod").read_text()
    assert (source / "go.sum").exists() == required


def test_a_schema_loses_its_texts_and_no_field() -> None:
    schema = {
        "description": "A text.",
        "type": "object",
        "required": ["description"],
        "properties": {
            "description": {"description": "A text.", "type": "string"},
            "properties": {"type": "object", "properties": {"a": {"description": "A text."}}},
        },
        "anyOf": [{"description": "A text.", "required": ["a"]}],
    }
    assert golang.without_descriptions(schema) == {
        "type": "object",
        "required": ["description"],
        "properties": {
            "description": {"type": "string"},
            "properties": {"type": "object", "properties": {"a": {}}},
        },
        "anyOf": [{"required": ["a"]}],
    }
