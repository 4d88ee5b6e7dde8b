"""Where the volume of a claim is, as far as a cluster's objects say it."""

from typing import Any

import pytest

from builders.fake_kube_api import FakeKubeApi
from builders.kube_objects import node
from smallmodel_operator.api.datasource import ReadFrom
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.claims import observe_claim
from smallmodel_operator.clusters.ref import CLAIMS, NODES, STORAGE_CLASSES, VOLUMES
from smallmodel_operator.status.data import ClaimSight

ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
HOSTNAME = "kubernetes.io/hostname"
Place = tuple[str | None, str | None, ReadFrom]
Terms = list[dict[str, list[str]]]
NOWHERE: Place = (None, None, ReadFrom.CLUSTER)


def put_claim(kube: FakeKubeApi, phase: str | None = "Bound", volume: str | None = "pv-1") -> None:
    status = {"phase": phase, "capacity": {"storage": "20Gi"}} if phase else {}
    kube.put(
        CLAIMS.ref("records", "team").path,
        {
            "metadata": {"name": "records", "namespace": "team"},
            "spec": {"volumeName": volume} if volume else {},
            "status": status,
        },
    )


def put_volume(kube: FakeKubeApi, terms: Terms, storage_class: str | None = None) -> None:
    """Have a volume that can be reached from nodes which one of these terms describes."""
    spec: dict[str, Any] = {"storageClassName": storage_class} if storage_class else {}
    if terms:
        selector = [{"matchExpressions": _expressions(term)} for term in terms]
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": selector}}
    kube.put(VOLUMES.ref("pv-1").path, {"metadata": {"name": "pv-1"}, "spec": spec})


def _expressions(term: dict[str, list[str]]) -> list[dict[str, Any]]:
    said = [{"key": key, "operator": "In", "values": values} for key, values in term.items()]
    return [*said, {"key": "kubernetes.io/os", "operator": "Exists"}]


def put_class(kube: FakeKubeApi, *terms: dict[str, list[str]]) -> None:
    allowed = [
        {"matchLabelExpressions": [{"key": key, "values": v} for key, v in term.items()]}
        for term in terms
    ]
    manifest = {"metadata": {"name": "fast"}, "allowedTopologies": allowed}
    kube.put(STORAGE_CLASSES.ref("fast").path, manifest)


async def place(api: Api) -> Place:
    found = await observe_claim(api, "team", "records")
    assert found is not None
    return found.region, found.zone, found.read_from


@pytest.mark.parametrize(
    ("terms", "place_said"),
    [
        ([{ZONE: ["eu-1a"], REGION: ["eu-1"]}], ("eu-1", "eu-1a", ReadFrom.VOLUME)),
        ([{"topology.gke.io/zone": ["eu-1a"]}], (None, "eu-1a", ReadFrom.VOLUME)),
        ([{ZONE: ["eu-1a", "eu-1b"], REGION: ["eu-1"]}], ("eu-1", None, ReadFrom.VOLUME)),
        (
            [{ZONE: ["eu-1a"], REGION: ["eu-1"]}, {ZONE: ["eu-1b"], REGION: ["eu-1"]}],
            ("eu-1", None, ReadFrom.VOLUME),
        ),
        ([{ZONE: [""]}], NOWHERE),
        ([{ZONE: ["in the cellar"]}], NOWHERE),
        ([{ZONE: ["z" * 64]}], NOWHERE),
        ([{"disk": ["ssd"]}], NOWHERE),
        ([], NOWHERE),
    ],
    ids=[
        "a zone and a region",
        "by a label of its driver",
        "from several zones of one region",
        "from several zones, in terms of their own",
        "with an empty label",
        "with a label that is no name",
        "with a label that is too long",
        "by a label of something else",
        "from everywhere",
    ],
)
async def test_a_volume_is_where_its_node_affinity_says(
    api: Api, kube: FakeKubeApi, terms: Terms, place_said: Place
) -> None:
    put_claim(kube)
    put_volume(kube, terms)

    assert await place(api) == place_said


async def test_a_local_volume_is_where_its_node_is(api: Api, kube: FakeKubeApi) -> None:
    put_claim(kube)
    put_volume(kube, [{HOSTNAME: ["node-1"]}])
    labels = {HOSTNAME: "node-1", ZONE: "eu-1a", REGION: "eu-1"}
    kube.put(NODES.ref("node-1").path, node("node-1", labels=labels))

    assert await place(api) == ("eu-1", "eu-1a", ReadFrom.VOLUME)

    (asked,) = (one.query for one in kube.seen if one.path == NODES.path())
    assert asked["labelSelector"] == f"{HOSTNAME} in (node-1)"


async def test_a_local_volume_whose_node_says_nothing_is_where_the_cluster_is(
    api: Api, kube: FakeKubeApi
) -> None:
    put_claim(kube)
    put_volume(kube, [{HOSTNAME: ["node-1"]}])
    kube.put(NODES.ref("node-1").path, node("node-1"))

    assert await place(api) == NOWHERE


@pytest.mark.parametrize(
    ("allowed", "place_said"),
    [
        ([{ZONE: ["eu-1a"]}], (None, "eu-1a", ReadFrom.STORAGE_CLASS)),
        ([{ZONE: ["eu-1a", "eu-1b"]}], NOWHERE),
        ([], NOWHERE),
    ],
    ids=["in one zone", "in one of several zones", "anywhere"],
)
async def test_a_volume_without_affinity_is_where_its_class_makes_volumes(
    api: Api, kube: FakeKubeApi, allowed: Terms, place_said: Place
) -> None:
    put_claim(kube)
    put_volume(kube, [], "fast")
    put_class(kube, *allowed)

    assert await place(api) == place_said


async def test_the_class_is_not_asked_where_the_volume_says_it(api: Api, kube: FakeKubeApi) -> None:
    put_claim(kube)
    put_volume(kube, [{ZONE: ["eu-1a"]}], "fast")
    put_class(kube, {ZONE: ["eu-1b"]})

    assert (await place(api))[1] == "eu-1a"
    assert STORAGE_CLASSES.ref("fast").path not in {one.path for one in kube.seen}


async def test_a_volume_or_a_class_that_is_gone_says_nothing(api: Api, kube: FakeKubeApi) -> None:
    put_claim(kube)
    assert await place(api) == NOWHERE
    put_volume(kube, [], "fast")
    assert await place(api) == NOWHERE


async def test_how_large_a_claim_is(api: Api, kube: FakeKubeApi) -> None:
    put_claim(kube)
    put_volume(kube, [])

    found = await observe_claim(api, "team", "records")

    assert found == ClaimSight(phase="Bound", size="20Gi")
    assert found.is_bound


@pytest.mark.parametrize(
    ("phase", "volume", "told"),
    [("Pending", None, "Pending"), ("Lost", "pv-1", "Lost"), (None, None, "Pending")],
)
async def test_a_claim_that_is_not_bound_is_nowhere(
    api: Api, kube: FakeKubeApi, phase: str | None, volume: str | None, told: str
) -> None:
    put_claim(kube, phase, volume)

    found = await observe_claim(api, "team", "records")

    assert found == ClaimSight(phase=told)
    assert len(kube.seen) == 1


async def test_there_may_be_no_such_claim(api: Api, kube: FakeKubeApi) -> None:
    assert await observe_claim(api, "team", "records") is None
