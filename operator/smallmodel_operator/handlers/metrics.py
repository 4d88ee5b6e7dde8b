"""What the operator tells Prometheus of itself and of its models."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from smallmodel_operator.api.modelcluster import LinkState
from smallmodel_operator.api.names import LOCAL_CLUSTER
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.authority import Issued
from smallmodel_operator.handlers.link import Link
from smallmodel_operator.handlers.measures import PREFIX, process_measures, queue_measures
from smallmodel_operator.handlers.operator import Operator
from smallmodel_operator.status.state import state


def measures(api: Api, operator: Operator | None, *, leads: bool) -> Iterable[Metric]:
    """Yield everything that is measured, as it is now.

    Args:
        api: Counts the calls.
        operator: What runs while this process leads.
        leads: Whether it does.
    """
    yield from process_measures(api, leads=leads)
    if operator is None:
        return
    yield from queue_measures(operator.queues, operator.conflicts)
    yield _models(operator)
    yield from link_measures(operator.links)
    members = [operator.local, *(one.member for one in operator.members)]
    yield edit_measures((one.name, one.edits.taken_back) for one in members)
    yield forward_measures((one.name, one.reach.failures) for one in operator.members)
    yield _withheld(operator)
    yield from certificate_measures(operator.certificates.issued)


def _withheld(operator: Operator) -> Metric:
    withheld = GaugeMetricFamily(
        f"{PREFIX}_gateway_withheld",
        "1 while a new set of routes is withheld",
        labels=["cluster"],
    )
    withheld.add_metric([LOCAL_CLUSTER], float(operator.gateway.withheld is not None))
    for member in operator.members:
        if member.gateway is not None:
            withheld.add_metric([member.name], float(member.gateway.withheld is not None))
    return withheld


def certificate_measures(issued: Mapping[str, Issued]) -> Iterable[Metric]:
    """Yield until when the certificates of gateways are good, as they were seen last."""
    leaves = GaugeMetricFamily(
        f"{PREFIX}_gateway_certificate_end_timestamp_seconds",
        "When the certificate of a cluster's gateway ends",
        labels=["cluster"],
    )
    authority = GaugeMetricFamily(
        f"{PREFIX}_gateway_authority_end_timestamp_seconds",
        "When the authority of all gateways' certificates ends",
    )
    for cluster, seen in sorted(issued.items()):
        leaves.add_metric([cluster], seen.leaf.timestamp())
    if issued:
        authority.add_metric([], min(seen.authority for seen in issued.values()).timestamp())
    yield leaves
    yield authority


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
    carried = GaugeMetricFamily(
        f"{PREFIX}_link_file_timestamp_seconds",
        "When the last file of a cluster that files are carried to was written",
        labels=["cluster"],
    )
    for link in links:
        file = link.cluster.status.bundle
        if file is not None:
            carried.add_metric([link.name], datetime.fromisoformat(file.exported_at).timestamp())
        for each in LinkState:
            state.add_metric([link.name, each], float(link.state is each))
        if link.seconds is not None:
            seconds.add_metric([link.name], link.seconds)
        failures.add_metric([link.name], link.failures)
    yield state
    yield seconds
    yield failures
    yield carried


def edit_measures(taken_back: Iterable[tuple[str, int]]) -> Metric:
    """Return what is measured of fields that others wrote into objects of ours.

    Args:
        taken_back: The name of each cluster, and how many fields were set back.
    """
    metric = CounterMetricFamily(
        f"{PREFIX}_edits_taken_back",
        "Fields of the operator's objects in a cluster that somebody wrote and that were set back",
        labels=["cluster"],
    )
    for name, count in taken_back:
        metric.add_metric([name], count)
    return metric


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
