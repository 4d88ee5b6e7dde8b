"""The chart's life: tested, upgraded, removed and installed again, while a model is served."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from cluster.addons import make_volume
from cluster.waiting import wait_until
from smallmodel_operator.api.names import FINALIZER, LOCAL_CLUSTER, placement_namespace
from support.counting import CountingClient, counting, failed, report
from support.installation import LIGHT, RELEASE, SYSTEM, Installed, Team

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

PLACEMENTS: Final = placement_namespace(LOCAL_CLUSTER)
_VOLUME: Final = "chart-test-weights"


@pytest.fixture(scope="module")
def team(operator: Installed) -> Iterator[Team]:
    """A namespace with a model that is kept awake."""
    made = operator.new_team()
    made.apply_model("chat", **LIGHT, scaling={"minReplicas": 1, "maxReplicas": 1})
    made.wait_ready("chat")
    yield made
    operator.remove_team(made)


@pytest.fixture
def client(operator: Installed, team: Team) -> Iterator[CountingClient]:
    """Somebody who asks the model all the time."""
    with counting(operator, team, ["chat"], seconds=600) as made:
        made.wait_for_answers(3)
        yield made


@pytest.fixture
def own_weights(operator: Installed) -> Iterator[None]:
    """A volume for weights in the operator's own namespace, where the chart's test serves."""
    cluster = operator.cluster
    folder = operator.volumes / _VOLUME
    make_volume(cluster, _VOLUME, folder, "50Gi", claim=(SYSTEM, "smallmodel-weights"))
    yield
    system = Team(cluster=cluster, namespace=SYSTEM)
    system.kubectl("delete", "pod", f"{RELEASE}-test", "--ignore-not-found")
    system.kubectl("delete", "sm", "--all", within=120)
    wait_until(
        lambda: not system.names("rayservices") and not system.names("pods", "ray.io/node-type"),
        "the pool of the chart's test is gone",
        within=150,
    )
    wait_until(lambda: not system.names("pvc"), "its claim is gone", within=60)
    cluster.kubectl("delete", "pv", _VOLUME)


def test_helm_test_asks_a_model_a_question(operator: Installed, own_weights: None) -> None:
    del own_weights
    told = operator.helm("test", RELEASE, "--timeout", "280s", within=300)
    said = operator.cluster.kubectl("-n", SYSTEM, "logs", f"{RELEASE}-test")

    assert "Succeeded" in told
    assert said.startswith(f"{RELEASE}-test answered: "), said
    # What has passed takes its model with it.
    assert Team(cluster=operator.cluster, namespace=SYSTEM).names("smallmodels") == []


def test_an_upgrade_to_other_values_restarts_no_model(
    operator: Installed, team: Team, client: CountingClient
) -> None:
    before, pod = _served(team), operator.operator_pod()
    gateway = _gateway(operator)

    operator.install(operator={"logLevel": "debug"})
    _wait_for_work(operator)
    client.wait_for_answers(3)
    asked = client.stop()

    assert operator.operator_pod() != pod
    assert _gateway(operator) == gateway
    assert _served(team) == before
    assert failed(asked) == [], report(asked)


def test_models_outlive_an_uninstall_and_the_next_install_takes_them_over(
    operator: Installed, team: Team, client: CountingClient
) -> None:
    before = _served(team)
    assert _held(team) == ["ModelPlacement", "SmallModel"]

    told = operator.helm("uninstall", RELEASE, "--wait", "--timeout", "150s")
    client.wait_for_answers(10)

    assert "[Deployment] smallmodel-gateway" in told
    left = operator.cluster.get("-n", SYSTEM, "deployments")["items"]
    assert [one["metadata"]["name"] for one in left] == ["smallmodel-gateway"]
    assert _held(team) == []
    assert _served(team) == before

    operator.install()
    _wait_for_work(operator)
    wait_until(
        lambda: _held(team) == ["ModelPlacement", "SmallModel"],
        "the finalizers are there again",
        within=60,
        explain=lambda: str(_held(team)),
    )
    client.wait_for_answers(3)
    asked = client.stop()

    assert team.wait_condition("chat", "Ready", "True").status == "True"
    assert _served(team) == before
    assert failed(asked) == [], report(asked)


def _wait_for_work(operator: Installed) -> None:
    """Wait until the operator that runs now has read everything and worked on it."""
    wait_until(
        lambda: operator.measure("smallmodel_models") == 1 and operator.queued() == 0,
        "the new operator has read everything and worked on it",
        within=90,
    )


def _served(team: Team) -> dict[str, Any]:
    """Return what would be another one had anything been restarted."""
    pools = team.cluster.get("-n", team.namespace, "rayservices")["items"]
    pods = team.cluster.get("-n", team.namespace, "pods", "-l", "ray.io/node-type")["items"]
    return {
        "pools": [(one["metadata"]["uid"], one["metadata"]["generation"]) for one in pools],
        "pods": {
            one["metadata"]["uid"]: [
                each["restartCount"] for each in one["status"]["containerStatuses"]
            ]
            for one in pods
        },
    }


def _gateway(operator: Installed) -> list[str]:
    """Return the pods of the gateway."""
    selector = "app.kubernetes.io/component=gateway"
    pods = operator.cluster.get("-n", SYSTEM, "pods", "-l", selector)["items"]
    return sorted(one["metadata"]["uid"] for one in pods)


def _held(team: Team) -> list[str]:
    """Return the kinds of the objects with our finalizer; of those no one is being deleted."""
    kinds = "smallmodels,rayservices,jobs,secrets,persistentvolumeclaims,networkpolicies"
    found = team.cluster.get("-n", team.namespace, kinds)["items"]
    found += team.cluster.get("-n", PLACEMENTS, "modelplacements")["items"]
    assert [
        one["metadata"]["name"] for one in found if "deletionTimestamp" in one["metadata"]
    ] == []
    return sorted(
        one["kind"] for one in found if FINALIZER in one["metadata"].get("finalizers", ())
    )
