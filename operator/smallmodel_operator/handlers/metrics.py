"""What the operator tells Prometheus of itself and of its models."""

from collections import Counter
from collections.abc import Callable, Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from smallmodel_operator.api.modelcluster import LinkState
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.handlers.links import Link
from smallmodel_operator.handlers.operator import Operator
from smallmodel_operator.status.state import state

PREFIX = "smallmodel_operator"


def measures(
    api: Api, operator: Callable[[], Operator | None], leads: Callable[[], bool]
) -> Iterable[Metric]:
    """Yield everything that is measured, as it is now.

    Args:
        api: Counts the calls.
        operator: Returns what runs while this process leads, or None.
        leads: Tells whether it does.
    """
    leader = GaugeMetricFamily(f"{PREFIX}_leader", "1 while this replica holds the Lease")
    leader.add_metric([], float(leads()))
    yield leader
    yield _calls(api)
    running = operator()
    if running is None:
        return
    yield from _queues(running)
    yield _models(running)
    yield from link_measures(running.links)
    yield forward_measures((one.name, one.reach.failures) for one in running.members)
    withheld = GaugeMetricFamily(
        f"{PREFIX}_gateway_withheld", "1 while a new set of routes is withheld"
    )
    withheld.add_metric([], float(running.gateway.withheld is not None))
    yield withheld


def _calls(api: Api) -> Metric:
    calls = CounterMetricFamily(
        f"{PREFIX}_api_calls",
        "Calls to the API server",
        labels=["verb", "group", "resource", "subresource"],
    )
    for call, count in sorted(api.calls.items(), key=lambda item: str(item[0])):
        calls.add_metric([call.verb, call.group, call.resource, call.subresource or ""], count)
    return calls


def _queues(operator: Operator) -> Iterable[Metric]:
    depth = GaugeMetricFamily(f"{PREFIX}_queue_depth", "Keys that wait", labels=["queue"])
    busy = GaugeMetricFamily(f"{PREFIX}_queue_busy", "Keys that are worked on", labels=["queue"])
    for queue in operator.queues:
        depth.add_metric([queue.name], queue.depth)
        busy.add_metric([queue.name], queue.busy)
    yield depth
    yield busy
    conflicts = CounterMetricFamily(
        f"{PREFIX}_conflicts",
        "Passes tried again because somebody else wrote first",
        labels=["queue"],
    )
    for queue in operator.queues:
        conflicts.add_metric([queue.name], operator.conflicts[queue.name])
    yield conflicts


def link_measures(links: Iterable[Link]) -> Iterable[Metric]:
    """Yield what is measured of the links to other clusters."""
    state = GaugeMetricFamily(
        f"{PREFIX}_link_state",
        "1 for the state of the link to a cluster",
        labels=["cluster", "state"],
    )
    seconds = GaugeMetricFamily(
        f"{PREFIX}_link_canary_seconds",
        "How long the last read and write in a cluster took that was done",
        labels=["cluster"],
    )
    failures = CounterMetricFamily(
        f"{PREFIX}_link_canary_failures",
        "Reads and writes in a cluster that failed",
        labels=["cluster"],
    )
    for link in links:
        for each in LinkState:
            state.add_metric([link.name, each], float(link.state is each))
        if link.seconds is not None:
            seconds.add_metric([link.name], link.seconds)
        failures.add_metric([link.name], link.failures)
    yield state
    yield seconds
    yield failures


def forward_measures(failures: Iterable[tuple[str, int]]) -> Metric:
    """Return what is measured of the ways to pods of other clusters.

    Args:
        failures: The name of each cluster, and how many connections to its pods led nowhere.
    """
    metric = CounterMetricFamily(
        f"{PREFIX}_forward_failures",
        "Connections to pods of a cluster through its API server that led nowhere",
        labels=["cluster"],
    )
    for name, count in failures:
        metric.add_metric([name], count)
    return metric


def _models(operator: Operator) -> Metric:
    models = GaugeMetricFamily(
        "smallmodel_models", "SmallModels by state", labels=["namespace", "state"]
    )
    counts = Counter(
        (namespace, str(state(model.status)))
        for (namespace, _), model in operator.stores.models.items()
        if isinstance(model, SmallModel)
    )
    for (namespace, word), count in sorted(counts.items()):
        models.add_metric([namespace, word], count)
    return models
