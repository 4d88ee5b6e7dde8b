"""What agents are told of gateways and models elsewhere, and what is wrong with such a text."""

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.clusters import declared
from builders.placements import HASH, placed_status
from builders.pool_values import placement_of
from smallmodel_operator.api.modelplacement import ModelPlacement, PlacementResidency
from smallmodel_operator.api.names import ANNOTATION_LEAVING_SINCE
from smallmodel_operator.plan.gateway.leading import Copy, led_away, neighbours
from smallmodel_operator.plan.gateway.told import (
    TOLD_ENTRY,
    InvalidTold,
    Told,
    ToldCluster,
    ToldModel,
    read_told,
    told,
    told_entry,
    told_neighbours,
)

MUNICH = declared(
    "munich", jurisdiction="DE", gateway={"address": "https://munich.example.com:8443"}
)
SILENT = declared("silent")


def copy_on(cluster: str, *, verified: bool = True, **changes: Any) -> ModelPlacement:
    made = placement_of(cluster=cluster, **changes)
    status = placed_status(verified_hash=HASH if verified else None)
    return made.model_copy(update={"status": status})


def test_each_model_is_told_with_the_copies_that_answered() -> None:
    law = PlacementResidency(jurisdictions=("DE", "FR"))
    said = told(
        [SILENT, MUNICH],
        [
            copy_on("silent", metadata={"annotations": {ANNOTATION_LEAVING_SINCE: "2026-11-29"}}),
            copy_on("munich", residency=law),
            copy_on("paris", verified=False),
        ],
    )

    assert said.clusters == (
        ToldCluster(name="munich", gateway="https://munich.example.com:8443", jurisdiction="DE"),
        ToldCluster(name="silent"),
    )
    [model] = said.models
    assert model.key == ("team-a", "chat")
    assert model.request_timeout == "5m"
    assert model.copies == (
        Copy(cluster="munich", jurisdictions=("DE", "FR")),
        Copy(cluster="silent", leaving=True),
    )


def test_a_model_that_answers_nowhere_is_told_and_one_that_is_deleted_is_not() -> None:
    starts = copy_on("munich", verified=False)
    gone = copy_on("munich", metadata={"deletion_timestamp": "2026-11-29T12:00:00Z"})

    assert [model.copies for model in told([MUNICH], [starts]).models] == [()]
    assert told([MUNICH], [gone]).models == ()


def test_an_agent_decides_as_the_hub_does() -> None:
    law = PlacementResidency(jurisdictions=("FR",))
    for placement in (copy_on("munich"), copy_on("munich", residency=law), copy_on("silent")):
        said = told([MUNICH, SILENT], [placement])
        there = told_neighbours(said, "edge", "hub-1")

        assert there == neighbours([MUNICH, SILENT], "edge", "hub-1")
        [model] = said.models
        away = led_away(model.copies, there)
        assert bool(away.peers or away.unreachable) is (placement.spec.residency is None)
    assert told_neighbours(said, "munich", "hub-1").keys() == {"silent"}


names = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
copies = st.builds(
    Copy,
    cluster=names,
    leaving=st.booleans(),
    jurisdictions=st.none() | st.lists(st.sampled_from(["DE", "FR"]), min_size=1).map(tuple),
)


def model_of(namespace: str, name: str, timeout: str, found: list[Copy]) -> ToldModel:
    return ToldModel(namespace=namespace, name=name, request_timeout=timeout, copies=tuple(found))


timeouts = st.sampled_from(["30s", "5m"])
models = st.tuples(names, names, timeouts, st.lists(copies, max_size=3)).map(
    lambda parts: model_of(*parts)
)


@given(st.lists(models, max_size=5))
def test_what_is_written_is_read_and_the_same_facts_are_the_same_bytes(
    found: list[ToldModel],
) -> None:
    said = Told(clusters=(ToldCluster(name="munich", jurisdiction="DE"),), models=tuple(found))

    assert read_told({TOLD_ENTRY: told_entry(said)}) == said
    assert told_entry(said) == told_entry(said.model_copy(deep=True))


def test_the_order_in_which_facts_come_does_not_matter() -> None:
    placements = [copy_on("munich"), copy_on("silent")]

    assert told([MUNICH, SILENT], placements) == told([SILENT, MUNICH], placements[::-1])


def zipped(content: bytes) -> bytes:
    """What gzip makes of it at any hour: names of tests may not change with the clock."""
    return gzip.compress(content, mtime=0)


def packed(**changes: Any) -> bytes:
    return zipped(json.dumps({"format": 1} | changes).encode())


def test_a_newer_hub_may_say_more() -> None:
    said = read_told({TOLD_ENTRY: packed(weather="fine", clusters=[{"name": "a", "new": 1}])})

    assert said == Told(clusters=(ToldCluster(name="a"),))


def test_before_the_hub_said_anything_nothing_is_known() -> None:
    assert read_told({"other": b""}) is None


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (b"no gzip", "Not a gzipped file"),
        (packed()[:-9], "ended before"),
        (zipped(b"no JSON"), "Expecting value"),
        (zipped(b"\xff"), "can't decode"),
        (packed(format=2), "format: Input should be 1"),
        (packed(clusters=[{"name": "a", "gateway": "nowhere"}]), "clusters.0.gateway: String"),
        (packed(models=[{"namespace": "a"}]), "models.0.name: Field required"),
    ],
    ids=[
        "no gzip",
        "cut off",
        "no JSON",
        "no text",
        "another format",
        "a gateway that is no URL",
        "a model without a name",
    ],
)
def test_what_cannot_be_read_is_told(entry: bytes, why: str) -> None:
    with pytest.raises(InvalidTold, match=why):
        read_told({TOLD_ENTRY: entry})
