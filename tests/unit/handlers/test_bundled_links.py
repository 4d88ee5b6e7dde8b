"""Between a hub and a cluster that no line reaches, nothing but the age of a file is looked at."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from builders.fake_kube_api import refuse
from builders.linked_clusters import Linked, cluster_path, linked
from smallmodel_operator.api.modelcluster import LinkState
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.handlers.metrics import link_measures


@pytest.fixture
async def hub() -> AsyncIterator[Linked]:
    """A hub with no cluster but its own."""
    async with linked() as made:
        yield made


def carry(hub: Linked, *, age: timedelta = timedelta(), **connection: Any) -> None:
    """Have a file be imported, as `slm bundle import` writes it."""
    hub.declare("edge", mode="Bundle", kubeconfigSecretRef=None, **connection)
    written = (hub.clock.now() - age).strftime("%Y-%m-%dT%H:%M:%SZ")
    file = {"serial": 1, "exportedAt": written, "importedAt": written}
    live = hub.hub.objects[cluster_path("edge")]
    hub.hub.put(cluster_path("edge"), live | {"status": {**live["status"], "bundle": file}})
    hub.see("edge")


async def test_without_a_file_nothing_is_decided(hub: Linked) -> None:
    hub.declare("edge", mode="Bundle", kubeconfigSecretRef=None)
    await hub.look(2)
    assert not hub.links.hears("edge")
    assert hub.link("edge").state is None


async def test_a_file_lets_the_hub_decide_and_connects_nobody(hub: Linked) -> None:
    carry(hub)
    await hub.look()
    assert hub.said("edge") == (LinkState.BUNDLED, Reason.BUNDLED)
    assert hub.links.hears("edge")
    assert hub.told == [("heard", "")]
    told = {one.type: one.status for one in hub.cluster("edge").status.conditions}
    assert told["Connected"] == "False"
    await hub.look(2)
    assert hub.told == [("heard", "")], "it is told once"


async def test_a_file_that_grew_old_is_a_cluster_that_does_not_answer(hub: Linked) -> None:
    carry(hub, age=timedelta(minutes=59), bundleMaxAge="1h")
    await hub.look()
    hub.see("edge")
    hub.clock.turn(120, wake=False)
    await hub.look()
    assert hub.said("edge") == (LinkState.UNREACHABLE, Reason.BUNDLE_STALE)
    assert not hub.links.hears("edge")

    carry(hub)
    await hub.look()
    assert hub.said("edge") == (LinkState.BUNDLED, Reason.BUNDLED)
    assert hub.links.hears("edge")


async def test_a_cluster_that_joins_otherwise_is_known_by_its_files_no_more(hub: Linked) -> None:
    carry(hub)
    await hub.look()
    hub.pull("edge")
    await hub.look()
    assert not hub.links.hears("edge")


async def test_what_cannot_be_written_now_is_written_later(hub: Linked) -> None:
    carry(hub)
    hub.hub.replies = [None, refuse(500, "InternalError", "down")]
    await hub.look()
    assert hub.links.hears("edge")
    await hub.look()
    assert hub.said("edge") == (LinkState.BUNDLED, Reason.BUNDLED)


async def test_when_the_last_file_was_written_is_measured(hub: Linked) -> None:
    carry(hub)
    hub.declare("munich", mode="Bundle", kubeconfigSecretRef=None)
    measured = {metric.name: metric for metric in link_measures(hub.links)}
    (sample,) = measured["smallmodel_operator_link_file_timestamp_seconds"].samples
    assert sample.labels == {"cluster": "edge"}
    assert sample.value == hub.clock.now().timestamp()
