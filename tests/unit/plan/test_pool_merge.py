"""What counts as a difference between what lives and what is wanted."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.pool_values import NAMESPACE, cluster_pool, fetch_job_of, placement_of, pool_settings
from smallmodel_operator.plan.pools.merge import differs
from smallmodel_operator.plan.pools.objects import (
    build_claim,
    build_namespace_objects,
    build_pool_objects,
    token_secret,
)
from smallmodel_operator.plan.pools.rayservice import build_ray_service
from smallmodel_operator.plan.pools.values import Manifest

SETTINGS = pool_settings()
POOL = cluster_pool("chat")
EVERY_KIND = (
    build_ray_service(POOL, SETTINGS),
    token_secret(POOL, SETTINGS, "x"),
    fetch_job_of(placement_of(), SETTINGS),
    *build_pool_objects(POOL, SETTINGS),
    *build_namespace_objects(NAMESPACE, SETTINGS),
)


def nested(value: Any, *path: str) -> Manifest:
    """An object with the value under a path of fields."""
    for field in reversed(path):
        value = {field: value}
    assert isinstance(value, dict)
    return value


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every text, number and truth value of an object."""
    if isinstance(value, dict):
        return [leaf for key, each in value.items() for leaf in leaves(each, (*path, key))]
    if isinstance(value, list):
        return [leaf for key, each in enumerate(value) for leaf in leaves(each, (*path, key))]
    return [path]


def owned(fields: Any, **entry: Any) -> Manifest:
    values = {"manager": "smallmodel-operator", "operation": "Apply", "fieldsV1": fields}
    return {"metadata": {"managedFields": [values | entry]}}


@pytest.mark.parametrize("wanted", EVERY_KIND, ids=lambda each: each["kind"])
def test_an_object_is_as_it_was_built(wanted: Manifest) -> None:
    live = deepcopy(wanted)
    live["metadata"] |= {"uid": "1", "resourceVersion": "7", "generation": 2}
    live["status"] = {"conditions": []}

    assert not differs(live, wanted)


@pytest.mark.parametrize("wanted", EVERY_KIND, ids=lambda each: each["kind"])
@given(data=st.data())
def test_every_field_that_is_edited_or_removed_is_seen(wanted: Manifest, data: Any) -> None:
    *path, last = data.draw(st.sampled_from(leaves(wanted)))
    live = deepcopy(wanted)
    place: Any = live
    for key in path:
        place = place[key]
    if isinstance(place, dict) and data.draw(st.booleans()):
        del place[last]
    else:
        place[last] = f"{place[last]}x"

    assert differs(live, wanted)


@pytest.mark.parametrize(
    ("live", "wanted"),
    [
        ("1000m", "1"),
        (1, "1"),
        ("1", "1000m"),
        ("1Gi", "1024Mi"),
        ("1536Mi", "1536Mi"),
        ("0.5", "500m"),
    ],
)
def test_a_quantity_may_be_written_in_another_way(live: Any, wanted: Any) -> None:
    assert not differs(nested(live, "requests", "cpu"), nested(wanted, "requests", "cpu"))
    assert not differs(nested(live, "sizeLimit"), nested(wanted, "sizeLimit"))


@pytest.mark.parametrize(
    ("live", "wanted"), [("1", "2"), ("many", "2"), ("2", "many"), (None, "2")]
)
def test_another_quantity_is_a_difference(live: Any, wanted: Any) -> None:
    assert differs(nested(live, "limits", "cpu"), nested(wanted, "limits", "cpu"))


def test_a_text_that_looks_like_a_quantity_is_compared_as_a_text() -> None:
    assert differs(nested("1000m", "data", "cpu"), nested("1", "data", "cpu"))


@pytest.mark.parametrize(
    ("live", "wanted"),
    [
        ({"a": 1, "b": 2}, {"a": 1}),
        ({"x": {"a": 1, "b": 2}}, {"x": {"a": 1}}),
        ({"x": [{"name": "b"}, {"name": "a", "n": 1}]}, {"x": [{"name": "a"}]}),
        ({"x": [{"mountPath": "/a", "n": 1}]}, {"x": [{"mountPath": "/a"}]}),
        ({"x": [{"containerPort": 1, "protocol": "TCP"}]}, {"x": [{"containerPort": 1}]}),
        ({"x": [{"key": "a", "n": 1}]}, {"x": [{"key": "a"}]}),
        ({}, {"x": {}}),
        ({}, {"x": []}),
        ({}, {"x": None}),
        ({}, {"x": ""}),
        ({"x": None}, {"x": {"y": None}}),
        ({"x": ["a", "b"]}, {"x": ["a", "b"]}),
    ],
)
def test_what_others_added_is_no_difference(live: Manifest, wanted: Manifest) -> None:
    assert not differs(live, wanted)


@pytest.mark.parametrize(
    ("live", "wanted"),
    [
        ({"x": 1}, {"x": 2}),
        ({"x": 1}, {"x": True}),
        ({"x": "a"}, {"x": {"a": 1}}),
        ({}, {"x": {"a": 1}}),
        ({}, {"x": False}),
        ({"x": [{"name": "b"}]}, {"x": [{"name": "a"}]}),
        ({"x": [{"name": "a"}]}, {"x": [{"name": "a", "n": 1}]}),
        ({"x": []}, {"x": [{"name": "a"}]}),
        ({"x": ["b", "a"]}, {"x": ["a", "b"]}),
        ({"x": ["a", "b"]}, {"x": ["a"]}),
        ({"x": [{"key": "a"}, {"key": "b"}]}, {"x": [{"key": "a"}]}),
        ({"x": "ab"}, {"x": ["a", "b"]}),
        ({}, {"x": ["a"]}),
        ({"x": {"a": 1}}, {"x": []}),
        ({"x": {"a": 1}}, {"x": ""}),
    ],
)
def test_what_apply_would_change_is_a_difference(live: Manifest, wanted: Manifest) -> None:
    assert differs(live, wanted)


def test_defaults_and_empty_fields_of_kuberay_are_no_difference() -> None:
    wanted = build_ray_service(POOL, SETTINGS)
    live = deepcopy(wanted)
    (group,) = live["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    group |= {"replicas": 0, "numOfHosts": 1, "scaleStrategy": {}}
    group["template"]["spec"]["containers"][0]["args"] = []

    assert not differs(live, wanted)


@pytest.mark.parametrize(
    "edit",
    [
        lambda group: group.update(replicas=3),
        lambda group: group.update(resources={"CPU": "9"}),
        lambda group: group["template"]["spec"]["containers"].append({"name": "miner"}),
        lambda group: group["template"]["spec"]["containers"][0]["env"].append({"name": "X"}),
        lambda group: group["template"]["spec"]["containers"][0].update(args=["x"]),
    ],
)
def test_what_somebody_added_to_a_worker_group_is_a_difference(edit: Any) -> None:
    wanted = build_ray_service(POOL, SETTINGS)
    live = deepcopy(wanted)
    edit(live["spec"]["rayClusterConfig"]["workerGroupSpecs"][0])

    assert differs(live, wanted)


def test_a_field_that_we_applied_and_want_no_longer_is_a_difference() -> None:
    label = nested({}, "f:metadata", "f:labels", "f:smallmodel.dev/dedicated-to")
    live = owned(label) | {"spec": {}}

    assert differs(live, {"metadata": {"labels": {}}})
    assert differs(live, {"metadata": {}})
    assert differs(live, {"metadata": {"labels": "x"}} | {"spec": {}})


def test_a_field_that_we_applied_and_want_still_is_none() -> None:
    fields = {
        "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
        "f:spec": {
            "f:accessModes": {},
            "f:list": {'k:{"name":"x"}': {".": {}, "f:name": {}}},
        },
    }
    wanted = {
        "metadata": {"labels": {"a": "1"}},
        "spec": {"accessModes": ["A"], "list": [{"name": "x"}]},
    }

    live = owned(fields)
    live["metadata"]["labels"] = {"a": "1"}
    assert not differs(live | {"spec": wanted["spec"]}, wanted)


@pytest.mark.parametrize(
    "entry",
    [{"manager": "kubectl"}, {"operation": "Update"}, {"subresource": "status"}],
    ids=["another manager", "an update", "a status"],
)
def test_what_others_own_is_left_to_them(entry: Any) -> None:
    live = owned(nested({}, "f:spec", "f:x"), **entry)

    assert not differs(live, {})


def test_an_entry_without_fields_owns_nothing() -> None:
    live = owned({})
    del live["metadata"]["managedFields"][0]["fieldsV1"]

    assert not differs(live, {})


def test_the_size_of_a_claim_may_be_written_in_another_way() -> None:
    wanted = build_claim(NAMESPACE, SETTINGS)
    live = deepcopy(wanted)
    live["spec"]["resources"]["requests"]["storage"] = "51200Mi"

    assert not differs(live, wanted)
