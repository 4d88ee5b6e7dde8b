"""What Prometheus is told of the links to other clusters."""

from builders.linked_clusters import linked
from smallmodel_operator.handlers.metrics import forward_measures, link_measures


async def test_links_are_measured() -> None:
    async with linked() as hub:
        edge = await hub.join("edge")
        await hub.join("far")
        hub.members["far"].cut = True
        await hub.look()
        edge.cut = True
        await hub.look()

        found = {
            (
                sample.name.removeprefix("smallmodel_operator_link_"),
                *sample.labels.values(),
            ): sample.value
            for metric in link_measures(hub.links)
            for sample in metric.samples
        }
        assert found["state", "edge", "Connected"] == 1
        assert found["state", "edge", "Unreachable"] == 0
        assert found["state", "far", "Unreachable"] == 1
        # Time stands still between turns of the clock.
        assert found["canary_seconds", "edge"] == 0
        assert ("canary_seconds", "far") not in found
        assert found["canary_failures_total", "edge"] == 1
        assert found["canary_failures_total", "far"] == 2


def test_connections_that_led_nowhere_are_counted_by_cluster() -> None:
    metric = forward_measures([("munich", 3), ("oslo", 0)])
    assert metric.name == "smallmodel_operator_forward_failures"
    counts = {one.labels["cluster"]: one.value for one in metric.samples}
    assert counts == {"munich": 3, "oslo": 0}
