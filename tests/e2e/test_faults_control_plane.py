"""What runs the cluster fails, restarts and is upgraded, and no request to a model does.

A client asks a model that is kept awake, all the time. What serves it is the same afterwards, and
operator and KubeRay go on with their work.
"""

import contextlib
import itertools
import json
import time
from collections.abc import Iterable, Iterator
from copy import deepcopy
from typing import Any, Final

import pytest
import yaml

from cluster.access import KubeAccess
from cluster.running import Cluster
from cluster.waiting import wait_until
from smallmodel_operator.api.names import LABEL_POOL
from support.counting import counting, failed, report
from support.counting_client import Asked
from support.installation import LIGHT, Installed, Team

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

AWAKE: Final = "awake"
"""The model that is asked."""
ETCD_AWAY_SECONDS: Final = 30.0
KUBERAY: Final = "kuberay-system"
KUBERAY_VERSION: Final = "ray.io/kuberay-version"
"""The annotation by which KubeRay knows which version of it last wrote a RayCluster."""
CRD: Final = "smallmodels.smallmodel.dev"

_BACK_SECONDS: Final = 120.0
"""Until the operator has gone on: a container that ended several times is held back by then."""


@pytest.fixture(scope="module")
def team(operator: Installed) -> Iterator[Team]:
    """A namespace with the model that is kept awake."""
    made = operator.new_team()
    _apply_awake(made)
    made.wait_ready(AWAKE)
    yield made
    operator.remove_team(made)


def test_an_api_server_that_restarts_costs_no_request(
    operator: Installed, team: Team, native_cluster: Cluster
) -> None:
    with _unharmed(operator, team):
        native_cluster.restart("kube-apiserver")

    _carries_out_an_edit(team)


def test_an_etcd_that_is_away_for_half_a_minute_costs_no_request(
    operator: Installed, team: Team, native_cluster: Cluster
) -> None:
    with _unharmed(operator, team) as asked:
        native_cluster.stop("etcd")
        away = time.time()
        time.sleep(ETCD_AWAY_SECONDS)  # The fault itself.
        back = time.time()
        native_cluster.start("etcd")

    assert any(one.complete for one in asked if away < one.start < back)
    _carries_out_an_edit(team)


def test_a_kuberay_that_restarts_costs_no_request(operator: Installed, team: Team) -> None:
    with _unharmed(operator, team):
        old = _kuberay_pods(team.cluster)
        team.cluster.kubectl("-n", KUBERAY, "delete", "pod", *old)
        _wait_for_kuberay(team.cluster)
        assert not old & _kuberay_pods(team.cluster)

    _serves_another_model(team, "after-restart")


def test_a_kuberay_that_takes_over_what_an_earlier_version_wrote_costs_no_request(
    operator: Installed, team: Team
) -> None:
    """An upgrade as far as it goes with one version of KubeRay.

    Its Deployment gets another template, and the Ray cluster says that an earlier version wrote it,
    which has KubeRay write it anew.
    """
    with _unharmed(operator, team):
        (ray_cluster,) = team.names("rayclusters")
        version = _written_by(team, ray_cluster)
        _scale_kuberay(team.cluster, 0)
        team.kubectl(
            "annotate", "raycluster", ray_cluster, "--overwrite", f"{KUBERAY_VERSION}=v1.5.0"
        )
        team.cluster.kubectl("-n", KUBERAY, "rollout", "restart", "deploy/kuberay-operator")
        _scale_kuberay(team.cluster, 1)
        wait_until(
            lambda: _written_by(team, ray_cluster) == version,
            "KubeRay has taken the Ray cluster over",
            within=_BACK_SECONDS,
        )

    _serves_another_model(team, "after-upgrade")


def test_what_changed_while_the_operator_was_away_is_carried_out_once_it_is_back(
    operator: Installed, team: Team
) -> None:
    team.apply_model("edited", **LIGHT)
    team.apply_model("deleted", **LIGHT)
    team.wait_ready("edited", "deleted")
    with (
        counting(operator, team, [AWAKE, "edited"], seconds=400) as served,
        counting(operator, team, ["deleted"], clients=1, pause=0.5, seconds=400) as going,
        counting(operator, team, ["added"], clients=1, pause=0.5, seconds=400) as coming,
    ):
        served.wait_for_answers(4)
        operator.scale_operator(0)
        team.apply_model("added", **LIGHT)
        team.apply_model("edited", **{**LIGHT, "contextLength": 512})
        team.kubectl("delete", "sm", "deleted", "--wait=false")
        served.wait_for_answers(10)
        going.wait_for_answers(3)
        back = time.time()
        operator.scale_operator(1)

        _wait_told(team, "edited")
        team.wait_ready("added", "edited")
        team.kubectl("wait", "--for=delete", "sm/deleted", "--timeout=120s", within=130)
        coming.wait_for_answers(3)
        asked = served.stop()
        of_deleted, of_added = going.stop(), coming.stop()

    assert failed(asked) == [], report(asked)
    assert _answers(one for one in of_deleted if one.start < back) == [200], report(of_deleted)
    assert _answers(of_deleted) == [200, 404], report(of_deleted)
    assert _answers(one for one in of_added if _end(one) < back) == [404], report(of_added)
    assert _answers(of_added) in ([404, 200], [404, 503, 200]), report(of_added)
    applications = _applications(team)
    assert applications.keys() == {"_index", AWAKE, "added", "edited"}
    assert applications["edited"]["args"]["engine"]["contextLength"] == 512
    team.kubectl("delete", "sm", "added", "edited", within=_BACK_SECONDS)


def test_a_definition_with_another_field_changes_nothing_of_what_is_served(
    operator: Installed, team: Team
) -> None:
    crd = _definition(team.cluster)
    before = _lasting(team)
    pod, writes = operator.operator_pod(), _writes_of_pools(operator)
    try:
        with _unharmed(operator, team):
            _apply_definition(team.cluster, _with_a_field(crd))
            wait_until(lambda: _knows_the_field(team), "the field is known", within=30)
            # It is what was chosen anyway, so only the generation is another.
            _apply_awake(team, _queued(team), engine="LlamaCpp")
            _wait_told(team, AWAKE)
        assert _lasting(team) == before
        assert operator.operator_pod() == pod
        assert _writes_of_pools(operator) == writes
    finally:
        _apply_definition(team.cluster, crd)

    _carries_out_an_edit(team)


@contextlib.contextmanager
def _unharmed(operator: Installed, team: Team) -> Iterator[list[Asked]]:
    """Ask while the block does its harm; none may fail, and what serves has to be the same.

    Yields:
        A list that has the requests once the block has ended.
    """
    asked: list[Asked] = []
    with counting(operator, team, [AWAKE], seconds=400) as client:
        client.wait_for_answers(3)
        before = _what_serves(team)
        yield asked
        client.wait_for_answers(3)
        wait_until(lambda: _is_told_true(team), "the status is true", within=_BACK_SECONDS)
        asked += client.stop()
    assert failed(asked) == [], report(asked)
    assert _what_serves(team) == before


def _apply_awake(team: Team, queued: int = 100, **spec: Any) -> None:
    scaling = {"minReplicas": 1, "maxReplicas": 1, "maxQueuedRequests": queued}
    team.apply_model(AWAKE, **LIGHT, scaling=scaling, **spec)


def _queued(team: Team) -> int:
    return int(team.model(AWAKE)["spec"]["scaling"]["maxQueuedRequests"])


def _carries_out_an_edit(team: Team) -> None:
    """Check that the operator goes on."""
    queued = _queued(team) + 1
    _apply_awake(team, queued)
    wait_until(
        lambda: _applications(team)[AWAKE]["deployments"][0]["max_queued_requests"] == queued,
        "the pool has the edit",
        within=_BACK_SECONDS,
    )
    _wait_told(team, AWAKE)


def _serves_another_model(team: Team, name: str) -> None:
    """Check that what is added reaches Serve, which only KubeRay tells of it."""
    team.apply_model(name, **LIGHT)
    team.wait_ready(name, within=_BACK_SECONDS)
    team.kubectl("delete", "sm", name, within=_BACK_SECONDS)


def _wait_told(team: Team, name: str) -> None:
    """Wait until the status of a model speaks of its spec as it is."""
    generation = team.model(name)["metadata"]["generation"]
    wait_until(
        lambda: team.model(name)["status"]["observedGeneration"] == generation,
        f"the status of {name} speaks of the edit",
        within=_BACK_SECONDS,
    )


def _is_told_true(team: Team) -> bool:
    """Return whether the status says of the model that is kept awake that it is."""
    model, ready = team.model(AWAKE), team.condition(AWAKE, "Ready")
    assert ready is not None
    generation = model["metadata"]["generation"]
    return (ready.status, ready.reason, ready.generation) == (
        "True",
        "Awake",
        generation,
    ) and model["status"]["replicas"] == 1


def _lasting(team: Team) -> dict[str, Any]:
    """Return what the status says of the model, its messages and the spec's generation aside."""
    status: dict[str, Any] = team.model(AWAKE)["status"]
    kept = ("type", "status", "reason", "lastTransitionTime")
    conditions = [{key: one[key] for key in kept} for one in status["conditions"]]
    return status | {"conditions": conditions, "observedGeneration": 0}


def _what_serves(team: Team) -> dict[str, tuple[str, int]]:
    """Return identity and generation of the pool, and identities of its Ray cluster and pods."""
    found = team.cluster.get(
        "-n", team.namespace, "rayservices,rayclusters,pods", "-l", LABEL_POOL
    )["items"]
    return {
        f"{one['kind']} {one['metadata']['name']}": (
            one["metadata"]["uid"],
            # The autoscaler writes to the Ray cluster.
            one["metadata"]["generation"] if one["kind"] == "RayService" else 0,
        )
        for one in found
    }


def _applications(team: Team) -> dict[str, Any]:
    """Return the pool's applications by name."""
    (pool,) = team.cluster.get("-n", team.namespace, "rayservices")["items"]
    applications = yaml.safe_load(pool["spec"]["serveConfigV2"])["applications"]
    return {one["name"]: one for one in applications}


def _answers(asked: Iterable[Asked]) -> list[int]:
    """Return the statuses in the order in which they came, each once for as long as it stayed."""
    return [status for status, _ in itertools.groupby(one.status for one in asked)]


def _end(asked: Asked) -> float:
    return asked.start + asked.seconds


def _kuberay_pods(cluster: KubeAccess) -> set[str]:
    pods = cluster.get("-n", KUBERAY, "pods", "-l", "app.kubernetes.io/name=kuberay-operator")
    return {pod["metadata"]["name"] for pod in pods["items"]}


def _wait_for_kuberay(cluster: KubeAccess) -> None:
    cluster.kubectl(
        "-n", KUBERAY, "rollout", "status", "deploy/kuberay-operator", "--timeout=90s", within=100
    )


def _scale_kuberay(cluster: KubeAccess, replicas: int) -> None:
    cluster.kubectl("-n", KUBERAY, "scale", "deploy", "kuberay-operator", f"--replicas={replicas}")
    _wait_for_kuberay(cluster)
    wait_until(
        lambda: len(_kuberay_pods(cluster)) == replicas,
        f"KubeRay has {replicas} pods",
        within=60,
    )


def _written_by(team: Team, ray_cluster: str) -> str:
    """Return the version of KubeRay that wrote a Ray cluster last."""
    found = team.cluster.get("-n", team.namespace, "raycluster", ray_cluster)
    return str(found["metadata"]["annotations"][KUBERAY_VERSION])


def _writes_of_pools(operator: Installed) -> float:
    """Return how often this process of the operator has written to RayServices."""
    reading = {"get", "list", "watch"}
    return sum(
        count
        for (verb, resource), count in operator.calls().items()
        if resource == "rayservices" and verb not in reading
    )


def _definition(cluster: KubeAccess) -> dict[str, Any]:
    """Return the definition as the chart applied it."""
    found = cluster.get("crd", CRD)
    kept = ("name", "labels", "annotations")
    metadata = {key: found["metadata"][key] for key in kept if key in found["metadata"]}
    return {key: found[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": metadata}


def _apply_definition(cluster: KubeAccess, crd: dict[str, Any]) -> None:
    # In the name of Helm, so that the next upgrade of the chart finds its own fields.
    cluster.apply(json.dumps(crd), "--force-conflicts", "--field-manager=helm")


def _with_a_field(crd: dict[str, Any]) -> dict[str, Any]:
    """Return the definition as a later version may have it."""
    made = deepcopy(crd)
    spec = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["description"] = "What the user asks for, and a note."
    spec["properties"]["note"] = {"type": "string", "maxLength": 100}
    return made


def _knows_the_field(team: Team) -> bool:
    """Return whether the API server keeps the field, which it drops where it knows none."""
    tried = team.kubectl(
        "patch", "sm", AWAKE, "--type=merge", "-p", '{"spec":{"note":"new"}}',
        "--dry-run=server", "-o", "json",
    )  # fmt: skip
    return "note" in json.loads(tried)["spec"]
