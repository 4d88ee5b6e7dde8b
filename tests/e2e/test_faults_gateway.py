"""Gateways that start while nobody is there to tell them anything lead requests as before."""

import contextlib
import time
from collections.abc import Iterator
from typing import Final

import pytest

from cluster.running import Cluster
from cluster.waiting import wait_until
from support.counting import answered, counting, failed, report, tell
from support.gateway_pods import gateway_pods, wait_for_answers, wait_for_restart
from support.installation import LIGHT, SYSTEM, Installed, Team

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

_GATEWAYS: Final = 2
_ANSWERS: Final = 20
"""Of each gateway, since it started."""
_DEPLOYMENT: Final = "deploy/smallmodel-gateway"


@pytest.fixture(scope="module")
def two_gateways(operator: Installed) -> Iterator[Installed]:
    """The operator, with as many gateways as the chart has by default."""
    operator.install(gateway={"replicas": _GATEWAYS})
    yield operator
    operator.install()


@pytest.fixture(scope="module")
def team(two_gateways: Installed) -> Iterator[Team]:
    """A namespace with a model that is kept awake."""
    made = two_gateways.new_team()
    made.apply_model("chat", **LIGHT, scaling={"minReplicas": 1, "maxReplicas": 1})
    made.wait_ready("chat")
    yield made
    two_gateways.remove_team(made)


def test_gateways_start_again_without_operator_and_api_server(
    two_gateways: Installed, native_cluster: Cluster, team: Team
) -> None:
    pods = gateway_pods(two_gateways)
    assert len(pods) == _GATEWAYS
    # The client comes first: without an operator the gateways are not told of new pods.
    with (
        counting(two_gateways, team, ["chat"], clients=4, pause=0.05) as client,
        _stopped(two_gateways),
    ):
        client.wait_for_answers(3)
        native_cluster.stop("kube-apiserver")
        try:
            native_cluster.kill_containers(SYSTEM, *[pod.name for pod in pods])
            took = wait_for_restart(pods, within=90)
            started = time.time()
            wait_for_answers(pods, team.namespace, _ANSWERS, within=120)
        finally:
            native_cluster.start("kube-apiserver")
        asked = client.stop()
    since = [one for one in asked if one.start >= started]
    tell(f"gateways were back after {took:.1f} s; since then", since)
    tell("in all", asked)

    assert failed(since) == [], report(since)
    assert len(answered(since)) >= _GATEWAYS * _ANSWERS
    after = {pod.uid: pod.restarts for pod in gateway_pods(two_gateways)}
    # Envoy and the agent of each; the same pods at the same addresses.
    assert after == {pod.uid: pod.restarts + 2 for pod in pods}


def test_new_gateways_start_without_an_operator(two_gateways: Installed, team: Team) -> None:
    before = {pod.uid for pod in gateway_pods(two_gateways)}
    with (
        counting(two_gateways, team, ["chat"], clients=4, pause=0.05) as client,
        _stopped(two_gateways),
    ):
        client.wait_for_answers(3)
        two_gateways.cluster.kubectl(
            "-n", SYSTEM, "delete", "pod", "-l", "app.kubernetes.io/component=gateway",
            "--grace-period=0", "--force",
        )  # fmt: skip
        wait_until(
            lambda: before.isdisjoint(pod.uid for pod in gateway_pods(two_gateways)),
            "other gateways are there",
            within=30,
        )
        two_gateways.cluster.kubectl(
            "-n", SYSTEM, "rollout", "status", _DEPLOYMENT, "--timeout=90s", within=100
        )
        started = time.time()
        wait_for_answers(gateway_pods(two_gateways), team.namespace, _ANSWERS, within=60)
        asked = client.stop()
    since = [one for one in asked if one.start >= started]
    tell("since the new gateways are ready", since)
    tell("in all", asked)

    assert failed(since) == [], report(since)


def test_a_rolling_restart_of_the_gateways_loses_nothing(
    two_gateways: Installed, team: Team
) -> None:
    before = {pod.uid for pod in gateway_pods(two_gateways)}
    with (
        counting(two_gateways, team, ["chat"], clients=3) as plain,
        counting(two_gateways, team, ["chat"], clients=2, stream=True, max_tokens=100) as streams,
    ):
        plain.wait_for_answers(1)
        streams.wait_for_answers(1)
        two_gateways.cluster.kubectl("-n", SYSTEM, "rollout", "restart", _DEPLOYMENT)
        two_gateways.cluster.kubectl(
            "-n", SYSTEM, "rollout", "status", _DEPLOYMENT, "--timeout=120s", within=130
        )
        wait_until(
            lambda: before.isdisjoint(pod.uid for pod in gateway_pods(two_gateways)),
            "all gateways are other ones",
            within=60,
        )
        plain.wait_for_answers(3)
        streams.wait_for_answers(1)
        asked = plain.stop() + streams.stop()
    tell("over a rolling restart", asked)

    assert failed(asked) == [], report(asked)


@contextlib.contextmanager
def _stopped(operator: Installed) -> Iterator[None]:
    """Have no operator meanwhile."""
    operator.scale_operator(0)
    try:
        yield
    finally:
        operator.scale_operator(1)
