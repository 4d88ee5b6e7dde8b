"""`slm cluster join --mode pull`: a hub is prepared for an agent that calls it."""

import base64
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders.cluster_objects import put_definition, rayservice_definition
from builders.fake_cluster import SYSTEM, FakeCluster, fake_cluster
from builders.kube_objects import HUB
from builders.kubeconfigs import TOKEN, encoded, kubeconfig, pair, server_tls
from builders.linked_clusters import cluster_path, kube_system
from smallmodel_operator.cli.errors import ExitCode
from smallmodel_operator.clusters.credentials import read_kubeconfig
from support.command_line import Slm

OWN = "/api/v1/namespaces/slm-cluster-edge"
SERVER = "https://hub.example.com:6443"
SECRET = f"/api/v1/namespaces/{SYSTEM}/secrets/smallmodel-hub-kubeconfig"
JOIN = ("cluster", "join", "edge", "--mode", "pull")
ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/smallmodel-agent:edge"


@pytest.fixture
def hub(cluster: FakeCluster) -> FakeCluster:
    """A hub, whose controllers made a token for the agent's account."""
    cluster.put("/api/v1/namespaces/kube-system", kube_system("uid-hub"))
    token = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "smallmodel-agent-token", "namespace": "slm-cluster-edge"},
        "data": {"token": encoded(TOKEN.encode())},
    }
    cluster.put(f"{OWN}/secrets/smallmodel-agent-token", token)
    return cluster


@pytest.fixture
def edge() -> Iterator[FakeCluster]:
    """A cluster behind a NAT."""
    with fake_cluster(server_tls(pair())) as fake:
        fake.put("/api/v1/namespaces/kube-system", kube_system("uid-edge"))
        fake.kube.objects["/version"] = {"gitVersion": "v1.36.3"}
        fake.kube.objects["/apis/ray.io/v1"] = {"resources": [{"name": "rayservices"}]}
        put_definition(fake, rayservice_definition())
        yield fake


@pytest.fixture
def admin(edge: FakeCluster, tmp_path: Path) -> Path:
    """A kubeconfig of that cluster's administrator."""
    authority = encoded(pair().certificate)
    config = kubeconfig(cluster={"server": edge.kube.url, "certificate-authority-data": authority})
    path = tmp_path / "edge"
    path.write_text(yaml.safe_dump(config))
    return path


def kubeconfig_in(secret: dict[str, Any]) -> bytes:
    return base64.b64decode(secret["data"]["kubeconfig"])


def test_the_hub_and_the_cluster_are_prepared(
    slm: Slm, hub: FakeCluster, edge: FakeCluster, admin: Path
) -> None:
    done = slm(*JOIN, "--kubeconfig", str(admin), "--hub-server", SERVER, "--tier", "Edge")

    assert done.code == ExitCode.OK, done.err
    declared = hub.kube.objects[cluster_path("edge")]
    assert declared["spec"] == {
        "connection": {"mode": "Pull", "clusterUID": "uid-edge"},
        "tier": "Edge",
    }
    assert hub.kube.objects[OWN]["metadata"]["labels"]["smallmodel.dev/hub"] == HUB
    assert ROLE in hub.kube.objects
    found = read_kubeconfig(kubeconfig_in(edge.kube.objects[SECRET]), "The kubeconfig")
    assert (found.server, found.token) == (SERVER, TOKEN)
    definitions = [path for path in edge.kube.objects if "customresourcedefinitions" in path]
    assert [path for path in definitions if "smallmodel.dev" in path] == [
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/modelplacements.smallmodel.dev"
    ]
    assert f"--set role=Agent,agent.clusterName=edge,agent.hubID={HUB}" in done.err
    assert "KubeRay: is there" in done.out


def test_no_word_of_the_credential_is_told(
    slm: Slm, hub: FakeCluster, edge: FakeCluster, admin: Path
) -> None:
    del hub, edge
    done = slm(*JOIN, "--kubeconfig", str(admin), "--hub-server", SERVER)
    assert TOKEN not in done.out + done.err


def test_a_cluster_that_is_not_reached_gets_a_file(
    slm: Slm, hub: FakeCluster, tmp_path: Path
) -> None:
    file = tmp_path / "secret.yaml"
    done = slm(*JOIN, "--secret-file", str(file), "--hub-server", SERVER)

    assert done.code == ExitCode.OK, done.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secret = yaml.safe_load(file.read_text())
    assert secret["metadata"]["name"] == "smallmodel-hub-kubeconfig"
    assert read_kubeconfig(kubeconfig_in(secret), "The kubeconfig").server == SERVER
    assert hub.kube.objects[cluster_path("edge")]["spec"]["connection"] == {"mode": "Pull"}


def test_on_standard_output_there_is_the_secret_and_nothing_else(
    slm: Slm, hub: FakeCluster
) -> None:
    del hub
    done = slm(*JOIN, "--secret-file", "-", "--hub-server", SERVER)
    assert yaml.safe_load(done.out)["kind"] == "Secret"


WRONG = {
    "nobody joins": ((), "say which cluster joins"),
    "both ways": (("--context", "x", "--secret-file", "a"), "say which cluster joins"),
    "the other way's address": (
        ("--secret-file", "a", "--server", "https://a"),
        "the hub's address is --hub-server",
    ),
    "no https": (("--secret-file", "a", "--hub-server", "http://hub"), "not https://HOST"),
    "no folder": (
        ("--secret-file", "/nowhere/at/all", "--hub-server", SERVER),
        "/nowhere/at/all cannot be written",
    ),
}


@pytest.mark.parametrize(("options", "said"), WRONG.values(), ids=WRONG)
def test_what_does_not_go_together_is_told(
    slm: Slm, hub: FakeCluster, options: tuple[str, ...], said: str
) -> None:
    del hub
    done = slm(*JOIN, *options)
    assert done.code != ExitCode.OK
    assert said in done.err


def test_the_hubs_own_cluster_needs_no_agent(slm: Slm, hub: FakeCluster) -> None:
    del hub
    done = slm("cluster", "join", "local", "--mode", "pull", "--secret-file", "-")
    assert done.code == ExitCode.USAGE
    assert "needs no joining" in done.err


def test_options_of_pull_are_none_of_push(slm: Slm, hub: FakeCluster, admin: Path) -> None:
    del hub
    done = slm("cluster", "join", "edge", "--kubeconfig", str(admin), "--hub-server", SERVER)
    assert done.code == ExitCode.USAGE
    assert "are for --mode pull" in done.err


def test_an_agents_rights_go_with_its_cluster(slm: Slm, hub: FakeCluster) -> None:
    assert slm(*JOIN, "--secret-file", "-", "--hub-server", SERVER).code == ExitCode.OK
    assert slm("cluster", "remove", "edge").code == ExitCode.OK
    assert ROLE not in hub.kube.objects
    assert OWN not in hub.kube.objects
