"""What somebody wrote into an object of ours."""

import copy
from typing import Any

import pytest

from smallmodel_operator.clusters.edits import Edit, describe_edits, edits_of

Json = dict[str, Any]

WANTED: Json = {
    "metadata": {"name": "x", "labels": {"app": "ours"}},
    "spec": {
        "config": "as decided",
        "workers": [{"name": "cpu", "most": 3}, {"name": "gpu", "most": 1}],
    },
}


def live(manager: str, owned: Json, *, subresource: str = "", **spec: Any) -> Json:
    """What an API server has, where somebody wrote these fields into what we applied."""
    made = copy.deepcopy(WANTED)
    made["spec"] |= spec
    entry = {"manager": manager, "operation": "Update", "time": "2026-01-01T00:00:00Z"}
    entry |= {"subresource": subresource} if subresource else {}
    ours = {"manager": "smallmodel-operator", "operation": "Apply", "fieldsV1": {"f:spec": {}}}
    made["metadata"]["managedFields"] = [ours, entry | {"fieldsV1": owned}]
    return made


CONFIG: Json = {"f:spec": {"f:config": {}}}
WORKERS = [{"name": "cpu", "most": 9}, {"name": "gpu", "most": 1}]
CASES: dict[str, tuple[Json, list[str]]] = {
    "a field": (live("kubectl-edit", CONFIG, config="another"), ["spec.config"]),
    "an item of a list that has keys": (
        live(
            "kubectl-edit",
            {"f:spec": {"f:workers": {'k:{"name":"cpu"}': {"f:most": {}}}}},
            workers=WORKERS,
        ),
        ['spec.workers[{"name":"cpu"}].most'],
    ),
    "an item that is taken out of such a list": (
        live("kubectl-edit", {"f:spec": {"f:workers": {}}}, workers=WORKERS[:1]),
        ["spec.workers"],
    ),
    "a list that is written as a whole": (
        live("kubectl-edit", {"f:spec": {"f:workers": {}}}, workers=WORKERS),
        ["spec.workers"],
    ),
    "a field that is as it is to be": (live("kubectl-edit", CONFIG), []),
    "a field that nobody wants otherwise": (
        live("kubectl-edit", {"f:spec": {"f:theirs": {}}}, theirs=1),
        [],
    ),
    "an item that nobody wants": (
        live("kubectl-edit", {"f:spec": {"f:workers": {'k:{"name":"tpu"}': {"f:most": {}}}}}),
        [],
    ),
    "members of a set": (live("kubectl-edit", {"f:spec": {'v:"one"': {}}}), []),
    "what KubeRay wrote": (live("manager", CONFIG, config="another"), []),
    "what this program wrote": (live("smallmodel-operator", CONFIG, config="another"), []),
    "a status": (live("kubectl-edit", CONFIG, subresource="status", config="another"), []),
}


@pytest.mark.parametrize("case", CASES)
def test_an_edit_is_named_by_its_path(case: str) -> None:
    there, paths = CASES[case]
    assert [one.path for one in edits_of(there, WANTED)] == paths


def test_an_object_that_does_not_tell_who_manages_it_has_no_edits() -> None:
    assert edits_of({"metadata": {"name": "x"}, "spec": {"config": "another"}}, WANTED) == ()


def test_a_field_of_which_a_part_is_wanted_otherwise_is_named_once() -> None:
    there = live("kubectl-edit", {"f:spec": {".": {}, "f:config": {}}}, config="another")
    assert [one.path for one in edits_of(there, WANTED)] == ["spec.config"]


@pytest.mark.parametrize(
    ("count", "end"), [(1, "spec.a0 (me, now)"), (7, "spec.a4 (me, now) and 2 more")]
)
def test_the_first_few_edits_are_told(count: int, end: str) -> None:
    edits = [Edit(path=f"spec.a{number}", manager="me", time="now") for number in range(count)]
    assert describe_edits(edits).endswith(end)
