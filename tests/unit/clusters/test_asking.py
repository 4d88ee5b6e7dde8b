"""What is asked of an API server without anything being written, and which one is asked."""

from pathlib import Path

import pytest
import yaml
from aiohttp import web

from builders.fake_kube_api import FakeKubeApi, refuse
from builders.kube_objects import CONFIG_MAP_PATH, config_map
from smallmodel_operator.clusters import contexts, errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.contexts import read_context
from smallmodel_operator.clusters.ref import CONFIGMAPS
from smallmodel_operator.clusters.requests import Call

FORWARD = Call(verb="create", resource="pods", subresource="portforward")


async def test_a_dry_run_is_an_apply_that_says_so(api: Api, kube: FakeKubeApi) -> None:
    await api.dry_run(CONFIGMAPS, "team", config_map())
    assert (kube.seen[0].method, kube.seen[0].path) == ("PATCH", CONFIG_MAP_PATH)
    assert kube.seen[0].query["dryRun"] == "All"
    assert kube.seen[0].query["fieldValidation"] == "Strict"


async def test_a_dry_run_that_is_refused_has_the_api_servers_words(
    api: Api, kube: FakeKubeApi
) -> None:
    kube.replies = [refuse(422, "Invalid", "data.key: Invalid value")]
    with pytest.raises(errors.Invalid, match=r"dry run of ConfigMap team/settings: .*data\.key"):
        await api.dry_run(CONFIGMAPS, "team", config_map())


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_permission_is_asked_for_by_its_rule(
    api: Api, kube: FakeKubeApi, allowed: bool
) -> None:
    kube.replies = [lambda _: web.json_response({"status": {"allowed": allowed}}, status=201)]
    assert await api.may(FORWARD, "team") is allowed
    assert kube.seen[0].path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert kube.seen[0].body["spec"]["resourceAttributes"] == {
        "verb": "create",
        "resource": "pods",
        "subresource": "portforward",
        "namespace": "team",
    }


def write(path: Path, name: str, **context: str) -> Path:
    config = {
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, **context}}],
        "clusters": [{"name": name, "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": name, "user": {}}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(autouse=True)
def no_kubeconfig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_the_contexts_namespace_counts(tmp_path: Path) -> None:
    found = read_context(write(tmp_path / "a", "one", namespace="team"), None)
    assert (found.name, found.namespace) == ("one", "team")
    assert read_context(write(tmp_path / "b", "two"), None).namespace == "default"


def test_several_files_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = write(tmp_path / "a", "one"), write(tmp_path / "b", "two", namespace="there")
    monkeypatch.setenv("KUBECONFIG", f"{one}:{tmp_path / 'missing'}:{two}")
    assert read_context(None, "two").namespace == "there"


def test_the_default_file_is_in_the_home_folder(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    path = write(tmp_path / ".kube" / "config", "one")
    assert read_context(None, None).kubeconfig == path


def test_a_file_that_is_named_comes_before_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write(tmp_path / "a", "one")))
    assert read_context(write(tmp_path / "b", "two"), None).name == "two"


def test_in_a_pod_the_service_account_says_who_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "namespace").write_text("team\n")
    monkeypatch.setattr(contexts, "runs_in_a_pod", lambda: True)
    monkeypatch.setattr(contexts, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    found = read_context(None, None)
    assert (found.kubeconfig, found.name, found.namespace) == (None, None, "team")
