"""What clusters say of the claim that a DataSource names becomes its status."""

from typing import Any

import pytest

from smallmodel_operator.api.conditions import DataConditionType
from smallmodel_operator.api.datasource import DataSource, DataSourceStatus, FoundClaim, ReadFrom
from smallmodel_operator.api.meta import Condition
from smallmodel_operator.status.data import ClaimSight, Look, summarise_source

BEFORE, NOW = "2026-11-24T12:00:00Z", "2026-11-24T12:07:00Z"
BOUND = ClaimSight(
    phase="Bound",
    region="eu-central-1",
    zone="eu-central-1a",
    size="20Gi",
    read_from=ReadFrom.VOLUME,
)
HERE = Look(cluster="local", claim=BOUND)
LOST = Look(cluster="edge", unasked="it did not answer within 10 s")
NONE = Look(cluster="munich")


def source(status: DataSourceStatus | None = None, **spec: Any) -> DataSource:
    return DataSource.model_validate(
        {
            "metadata": {"name": "records", "namespace": "team", "generation": 3},
            "spec": {"claim": "records"} | spec,
            "status": status or {},
        }
    )


def located(status: DataSourceStatus) -> Condition:
    (condition,) = status.conditions
    assert condition.type == DataConditionType.LOCATED
    return condition


@pytest.mark.parametrize(
    ("looks", "said", "words"),
    [
        (
            [HERE],
            ("True", "Located"),
            "The claim records is bound in local (eu-central-1a by its volume's node affinity, "
            "20Gi)",
        ),
        (
            [Look(cluster="b", claim=ClaimSight(phase="Bound")), NONE, HERE],
            ("True", "Located"),
            "The claim records is bound in b (by the cluster's own location), local (eu-central-1a "
            "by its volume's node affinity, 20Gi)",
        ),
        (
            [
                Look(
                    cluster="local",
                    claim=ClaimSight(
                        phase="Bound", region="eu-central-1", read_from=ReadFrom.STORAGE_CLASS
                    ),
                ),
                Look(cluster="near", claim=ClaimSight(phase="Pending")),
                Look(cluster="far", unasked="agents are not asked"),
                LOST,
                Look(cluster="out", unasked="agents are not asked"),
            ],
            ("True", "Located"),
            "The claim records is bound in local (eu-central-1 by its StorageClass). It is Pending "
            "in near, and has no volume there. edge: it did not answer within 10 s. far, out: "
            "agents are not asked",
        ),
        (
            [NONE, Look(cluster="local")],
            ("False", "ClaimNotFound"),
            "The namespace team has no claim records in local, munich. Correct spec.claim, make "
            "the claim, or write in spec.locations where the data is",
        ),
        (
            [LOST, Look(cluster="local")],
            ("False", "ClaimNotFound"),
            "The namespace team has no claim records in local. Correct spec.claim, make the claim, "
            "or write in spec.locations where the data is. edge: it did not answer within 10 s",
        ),
        (
            [NONE, Look(cluster="local", claim=ClaimSight(phase="Lost"))],
            ("False", "ClaimNotBound"),
            "The claim records is Lost in local, and data is where a bound claim's volume is. One "
            "that waits for its first consumer is bound when a pod mounts it; else `kubectl -n "
            "team describe pvc records` says what it waits for",
        ),
        ([LOST], ("Unknown", "ClusterNotObserved"), "edge: it did not answer within 10 s"),
    ],
    ids=[
        "its volume says where it is",
        "it is bound in several clusters",
        "in one it waits, and one was not asked",
        "no cluster has it",
        "no cluster that answered has it",
        "it has lost its volume",
        "no cluster answered",
    ],
)
def test_what_is_said_of_a_claim(looks: list[Look], said: tuple[str, str], words: str) -> None:
    condition = located(summarise_source(source(), looks, NOW))

    assert (condition.status, condition.reason) == said
    assert condition.message == words


def test_what_was_found_is_told_by_cluster() -> None:
    status = summarise_source(source(), [NONE, HERE], NOW)

    assert (status.claim, status.observed_generation) == ("records", 3)
    assert status.found == (
        FoundClaim(
            cluster="local",
            region="eu-central-1",
            zone="eu-central-1a",
            size="20Gi",
            read_from=ReadFrom.VOLUME,
        ),
    )


def test_a_cluster_that_does_not_answer_keeps_what_was_found_there() -> None:
    before = summarise_source(source(), [Look(cluster="edge", claim=BOUND)], BEFORE)

    after = summarise_source(source(before), [LOST], NOW)

    assert after.found == before.found
    assert (located(after).status, located(after).last_transition_time) == ("True", BEFORE)
    assert "edge: it did not answer" in located(after).message
    assert summarise_source(source(before), [Look(cluster="edge")], NOW).found == ()


def test_a_cluster_that_does_not_answer_keeps_nothing_of_another_claim() -> None:
    before = summarise_source(source(), [Look(cluster="edge", claim=BOUND)], BEFORE)

    after = summarise_source(source(before, claim="video"), [LOST], NOW)

    assert (after.found, after.claim) == ((), "video")
    assert located(after).status == "Unknown"


def test_what_is_written_by_hand_is_said_to_count() -> None:
    status = summarise_source(source(locations=[{"cluster": "local"}]), [HERE], NOW)

    assert "bound in local (where spec.locations counts)" in located(status).message


def test_nothing_new_changes_nothing() -> None:
    status = summarise_source(source(), [HERE], BEFORE)

    assert summarise_source(source(status), [HERE], NOW) == status


def test_without_a_claim_there_is_nothing_to_say() -> None:
    before = summarise_source(source(), [HERE], BEFORE)

    assert summarise_source(source(before, claim=None), [HERE], NOW) == DataSourceStatus()
