"""When a write can be left out."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallmodel_operator.clusters.compare import ANNOTATION_APPLIED, is_applied, stamp

Json = dict[str, Any]

SCALARS = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "a", "1Gi"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)
SPECS = st.dictionaries(st.sampled_from(["requests", "replicas", "x"]), VALUES)


def manifest(spec: Any) -> Json:
    return {"metadata": {"name": "x"}, "spec": spec}


def live_of(spec: Any, **more: Any) -> Json:
    """What an API server has after that spec was applied."""
    live = copy.deepcopy(stamp(manifest(spec)))
    live["metadata"] |= {"uid": "u", "managedFields": []}
    live["spec"] |= more
    return live


@given(SPECS)
def test_what_was_applied_is_applied(spec: Any) -> None:
    assert is_applied(live_of(spec), stamp(manifest(spec)))


@given(SPECS, SPECS)
def test_another_manifest_is_not_applied(spec: Any, other: Any) -> None:
    same = stamp(manifest(spec)) == stamp(manifest(other))
    assert is_applied(live_of(spec), stamp(manifest(other))) is same


@given(SPECS)
def test_others_additions_do_not_matter(spec: Any) -> None:
    assert is_applied(live_of(spec, theirs={"deep": 1}), stamp(manifest(spec)))


def test_a_stamp_leaves_the_manifest_and_its_annotations() -> None:
    given_manifest = {"metadata": {"name": "x", "annotations": {"a": "b"}}}
    stamped = stamp(given_manifest)
    assert stamped["metadata"]["annotations"].keys() == {"a", ANNOTATION_APPLIED}
    assert given_manifest == {"metadata": {"name": "x", "annotations": {"a": "b"}}}


def test_a_field_that_is_left_out_now_is_seen_by_the_stamp() -> None:
    assert not is_applied(live_of({"a": 1, "b": 2}), stamp(manifest({"a": 1})))


# What was applied, what is live in its place, and whether it is the same to Kubernetes.
LIVE: dict[str, tuple[Any, Any, bool]] = {
    "an edited scalar": ({"a": 1}, {"a": 2}, False),
    "an edited list": ({"a": [1, 2]}, {"a": [2, 1]}, False),
    "a longer list": ({"a": [1]}, {"a": [1, 2]}, False),
    "a list that became a scalar": ({"a": [1]}, {"a": 1}, False),
    "a mapping that became a scalar": ({"a": {"b": 1}}, {"a": 1}, False),
    "fields added to items of a list": ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, True),
    "a removed value": ({"a": 1}, {}, False),
    "an empty value that is not stored": ({"a": {}, "b": [], "c": "", "d": None}, {}, True),
    "a false value that is not stored": ({"a": False, "b": 0}, {}, True),
    "true in place of one": ({"a": 1}, {"a": True}, False),
    "requests written in another way": (
        {"requests": {"cpu": "1000m", "memory": "1024Mi", "nvidia.com/gpu": 1}},
        {"requests": {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "1"}},
        True,
    ),
    "other limits": ({"limits": {"cpu": "2"}}, {"limits": {"cpu": "1"}}, False),
    "a limit that is gone": ({"limits": {"cpu": "2", "memory": "1Gi"}}, {"limits": {}}, False),
    "limits that are no quantities": ({"limits": {"a": "x"}}, {"limits": {"a": "y"}}, False),
    "a size written in another way": ({"sizeLimit": "1024Mi"}, {"sizeLimit": "1Gi"}, True),
    "another size": ({"sizeLimit": "2Gi"}, {"sizeLimit": "1Gi"}, False),
}


@pytest.mark.parametrize("case", LIVE)
def test_the_live_object_is_compared_as_kubernetes_would(case: str) -> None:
    applied, live, same = LIVE[case]
    edited = live_of(applied)
    edited["spec"] = live
    assert is_applied(edited, stamp(manifest(applied))) is same
