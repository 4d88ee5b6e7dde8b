"""What tells news from what is known of an object."""

from typing import Any

import pytest

from builders.told_objects import HUB, fetch_job, model, ours, placement
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.placements import Placements
from smallmodel_operator.handlers.stores import HubStores
from smallmodel_operator.plan.pools.values import Manifest


def cluster_stores() -> ClusterStores:
    return ClusterStores(placements=Placements(hub_id=HUB))


@pytest.mark.parametrize(
    ("see", "manifest"),
    [
        (HubStores(hub_id=HUB).see_model, model()),
        (Placements(hub_id=HUB).see, placement()),
        (cluster_stores().see_pool, ours("RayService", "p")),
        (cluster_stores().see_job, fetch_job("j")),
    ],
)
def test_what_is_known_already_is_no_news(see: Any, manifest: Manifest) -> None:
    def at(version: str, uid: str = "u1") -> Manifest:
        metadata = manifest["metadata"] | {"uid": uid, "resourceVersion": version}
        return manifest | {"metadata": metadata}

    assert see(at("9"), gone=False) is not None
    assert see(at("9"), gone=False) is None, "the event of our own write"
    assert see(at("10"), gone=False) is not None
    assert see(at("8", "u2"), gone=False) is not None, "another one of the same name"
    assert see(at("10"), gone=True) is None, "the one before it"
    assert see(at("8", "u2"), gone=True) is not None
    assert see(at("11", "u2"), gone=False) is None, "an answer that came after its end"
    assert see(at("12", "u3"), gone=False) is not None
