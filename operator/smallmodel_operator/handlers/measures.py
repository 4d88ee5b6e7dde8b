"""What is measured of every process of the operator: its calls and its queues."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from smallmodel_operator.clusters.api import Api
from smallmodel_operator.handlers.queue import WorkQueue

PREFIX: Final = "smallmodel_operator"


def process_measures(api: Api, *, leads: bool) -> Iterable[Metric]:
    """Yield what is measured of every process: its leadership, and its calls."""
    leader = GaugeMetricFamily(f"{PREFIX}_leader", "1 while this replica holds the Lease")
    leader.add_metric([], float(leads))
    yield leader
    yield _calls(api)


def _calls(api: Api) -> Metric:
    calls = CounterMetricFamily(
        f"{PREFIX}_api_calls",
        "Calls to the API server",
        labels=["verb", "group", "resource", "subresource"],
    )
    for call, count in sorted(api.calls.items(), key=lambda item: str(item[0])):
        calls.add_metric([call.verb, call.group, call.resource, call.subresource or ""], count)
    return calls


def queue_measures(queues: Sequence[WorkQueue[Any]], failed: Counter[str]) -> Iterable[Metric]:
    """Yield what is measured of queues.

    Args:
        queues: All of them.
        failed: Writes over something that was newer, by queue.
    """
    depth = GaugeMetricFamily(f"{PREFIX}_queue_depth", "Keys that wait", labels=["queue"])
    busy = GaugeMetricFamily(f"{PREFIX}_queue_busy", "Keys that are worked on", labels=["queue"])
    for queue in queues:
        depth.add_metric([queue.name], queue.depth)
        busy.add_metric([queue.name], queue.busy)
    yield depth
    yield busy
    conflicts = CounterMetricFamily(
        f"{PREFIX}_conflicts",
        "Passes tried again because somebody else wrote first",
        labels=["queue"],
    )
    for queue in queues:
        conflicts.add_metric([queue.name], failed[queue.name])
    yield conflicts
