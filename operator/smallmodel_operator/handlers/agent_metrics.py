"""What an agent tells Prometheus of itself and of its line to the hub."""

from collections.abc import Iterable
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from smallmodel_operator.api.modelcluster import LinkState
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.handlers.agent import Agent
from smallmodel_operator.handlers.hub_line import HubLine
from smallmodel_operator.handlers.measures import process_measures, queue_measures
from smallmodel_operator.handlers.told import Hearing

PREFIX: Final = "smallmodel_agent"


def agent_measures(api: Api, agent: Agent | None, *, leads: bool) -> Iterable[Metric]:
    """Yield everything that is measured, as it is now.

    Args:
        api: Counts the calls to the cluster's own API server.
        agent: What runs while this process leads.
        leads: Whether it does.
    """
    yield from process_measures(api, leads=leads)
    if agent is None:
        return
    yield from queue_measures(agent.queues, agent.conflicts)
    yield from line_measures(agent.line)
    placements = GaugeMetricFamily(
        f"{PREFIX}_placements", "Placements that are mirrored in the cluster"
    )
    placements.add_metric([], len(agent.member.stores.placements.by_model))
    yield placements
    orphans = GaugeMetricFamily(
        f"{PREFIX}_orphans", "Placements that the hub does not have, which are served on"
    )
    orphans.add_metric([], len(agent.member.mirrors.orphans))
    yield orphans
    edits = CounterMetricFamily(
        f"{PREFIX}_edits_taken_back",
        "Fields of the operator's objects that somebody wrote and that were set back",
    )
    edits.add_metric([], agent.member.member.edits.taken_back)
    yield edits
    yield from hearing_measures(agent.hearing)


def hearing_measures(hearing: Hearing) -> Iterable[Metric]:
    """Yield what is measured of gateways elsewhere, and of the certificate for them."""
    deaf = GaugeMetricFamily(
        f"{PREFIX}_neighbours_unusable",
        "1 while what the hub says of other clusters' gateways cannot be used; the log says why",
    )
    deaf.add_metric([], float(hearing.problem is not None))
    yield deaf
    if hearing.ends is not None:
        ends = GaugeMetricFamily(
            f"{PREFIX}_gateway_certificate_end_timestamp_seconds",
            "When the certificate of the cluster's gateway ends",
        )
        ends.add_metric([], hearing.ends.timestamp())
        yield ends


def line_measures(line: HubLine) -> Iterable[Metric]:
    """Yield what is measured of the line to the hub."""
    state = GaugeMetricFamily(
        f"{PREFIX}_hub_state", "1 for the state of the line to the hub", labels=["state"]
    )
    for each in LinkState:
        state.add_metric([each], float(line.link is not None and line.link.state is each))
    yield state
    failures = CounterMetricFamily(f"{PREFIX}_heartbeat_failures", "Heartbeats that failed")
    failures.add_metric([], line.failures)
    yield failures
    if line.seconds is not None:
        seconds = GaugeMetricFamily(
            f"{PREFIX}_heartbeat_seconds",
            "How long the last heartbeat took that was done: a read and a write on the hub",
        )
        seconds.add_metric([], line.seconds)
        yield seconds
