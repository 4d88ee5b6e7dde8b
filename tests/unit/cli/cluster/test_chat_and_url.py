"""Through a port-forward of their own, `slm chat` and `slm url --forward` reach the gateway."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from builders.cluster_objects import put_deployment, put_model, put_pod
from builders.fake_chat_api import FakeChatApi, fake_chat_api
from builders.fake_cluster import SYSTEM, FakeCluster
from builders.statuses import URL
from support.command_line import Slm
from support.free_ports import free_port

GATEWAY = {"app.kubernetes.io/name": "smallmodel-gateway"}
PROGRAM = Path(sys.executable).with_name("slm")


@pytest.fixture
def api(cluster: FakeCluster) -> Iterator[FakeChatApi]:
    """What answers behind the gateway's port."""
    put_model(cluster)
    with fake_chat_api(FakeChatApi()) as fake:
        cluster.forwarded_to = fake.port
        yield fake


def test_a_prompt_is_answered_under_the_namespaces_path(slm: Slm, api: FakeChatApi) -> None:
    outcome = slm("chat", "chat", "--once", "Hi")
    assert (outcome.code, outcome.out) == (0, "Hello\n")
    [(path, body)] = api.requests
    assert path == "/team/v1/chat/completions"
    assert body["model"] == "chat"


def test_a_sleeping_model_is_announced(slm: Slm, api: FakeChatApi, cluster: FakeCluster) -> None:
    put_model(cluster, "parked")
    assert "The model is parked" in slm("chat", "chat", "--once", "Hi").err


def test_what_the_gateway_refuses_is_one_line(slm: Slm, api: FakeChatApi) -> None:
    api.status, api.body = 503, '{"error": {"message": "MemoryFit: needs 4 GiB"}}'
    outcome = slm("chat", "chat", "--once", "Hi")
    assert (outcome.code, outcome.err) == (1, "Error: 503: MemoryFit: needs 4 GiB\n")


def test_without_a_gateway_the_chart_is_named(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    del cluster.kube.objects[f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/smallmodel-gateway"]
    outcome = slm("chat", "chat", "--once", "Hi")
    assert outcome.code == 4
    assert "no gateway is installed" in outcome.err
    assert "gateway.enabled=true" in outcome.err


def test_a_gateway_that_is_not_ready_says_what_keeps_it(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    waiting = {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}
    put_pod(
        cluster, "gateway-0", SYSTEM, labels=GATEWAY, containers=("envoy",),
        status={"phase": "Pending", **waiting},
    )  # fmt: skip
    outcome = slm("url", "--forward")
    assert outcome.code == 1
    assert "gateway-0 is Pending ImagePullBackOff" in outcome.err
    assert f"kubectl -n {SYSTEM} describe deployment smallmodel-gateway" in outcome.err


def test_a_gateway_without_pods_is_told(slm: Slm, cluster: FakeCluster) -> None:
    del cluster.kube.objects[f"/api/v1/namespaces/{SYSTEM}/pods/gateway-0"]
    assert "it has no pod" in slm("url", "--forward").err


def test_a_gateway_by_another_name_is_found_by_its_label(
    slm: Slm, api: FakeChatApi, cluster: FakeCluster
) -> None:
    del cluster.kube.objects[f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/smallmodel-gateway"]
    put_deployment(cluster, "another-name", SYSTEM, GATEWAY)
    assert slm("chat", "chat", "--once", "Hi").code == 0


def test_who_may_not_forward_is_told(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    cluster.forbidden = {"portforward"}
    outcome = slm("chat", "chat", "--once", "Hi")
    assert outcome.code == 1
    assert f"open portforward of Pod {SYSTEM}/gateway-0" in outcome.err


def test_the_url_is_the_one_in_the_status(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    assert slm("url", "chat").out == f"{URL}\n"


def test_a_url_needs_a_model(slm: Slm, cluster: FakeCluster) -> None:
    outcome = slm("url")
    assert outcome.code == 2
    assert "`slm url NAME`" in outcome.err


def test_a_model_that_nobody_looked_at_has_no_url(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster, "new")
    outcome = slm("url", "chat")
    assert outcome.code == 1
    assert "`slm doctor` tells whether one runs" in outcome.err


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_forwarded_url_answers_until_it_is_ended(api: FakeChatApi, ending: int) -> None:
    port = free_port()
    with subprocess.Popen(
        [PROGRAM, "url", "chat", "--forward", "--port", str(port)],
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url == f"http://127.0.0.1:{port}/team/v1"
        answered = httpx.post(f"{url}/chat/completions", json={"model": "chat"}, trust_env=False)
        assert answered.status_code == 200
        process.send_signal(ending)
        assert process.wait(10) == 0
    assert api.requests[0][0] == "/team/v1/chat/completions"


def test_a_port_that_is_taken_is_told(slm: Slm, api: FakeChatApi) -> None:
    outcome = slm("url", "--forward", "--port", str(api.port))
    assert outcome.code == 6
    assert f"port {api.port} cannot be listened on" in outcome.err
