"""What a pod asks of its node."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallmodel_operator.clusters.quantities import amount_of
from smallmodel_operator.clusters.requested import requested_by


def container(cpu: str, *, always: bool = False) -> dict[str, Any]:
    restart = {"restartPolicy": "Always"} if always else {}
    return {"resources": {"requests": {"cpu": cpu}}, **restart}


SPECS: dict[str, tuple[dict[str, Any], float]] = {
    "nothing": ({"containers": [{}]}, 0.0),
    "containers together": ({"containers": [container("1"), container("500m")]}, 1.5),
    "a large init container": (
        {"initContainers": [container("3")], "containers": [container("1")]},
        3.0,
    ),
    "a small init container": (
        {"initContainers": [container("500m")], "containers": [container("1")]},
        1.0,
    ),
    "a sidecar beside the containers": (
        {"initContainers": [container("2", always=True)], "containers": [container("1")]},
        3.0,
    ),
    "an init container after a sidecar": (
        {
            "initContainers": [container("2", always=True), container("4")],
            "containers": [container("1")],
        },
        6.0,
    ),
    "an init container before a sidecar": (
        {
            "initContainers": [container("4"), container("2", always=True)],
            "containers": [container("1")],
        },
        4.0,
    ),
    "an overhead": ({"containers": [container("1")], "overhead": {"cpu": "250m"}}, 1.25),
    "requests of the pod": (
        {"containers": [container("1")], "resources": {"requests": {"cpu": "2"}}},
        2.0,
    ),
}


@pytest.mark.parametrize("case", SPECS)
def test_a_pod_asks_for(case: str) -> None:
    spec, cores = SPECS[case]
    assert requested_by(spec).get("cpu", 0.0) == cores


def test_resources_that_a_pod_does_not_name_are_its_containers() -> None:
    requests = {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "1"}
    spec = {"containers": [{"resources": {"requests": requests}}], "resources": {"requests": {}}}
    assert requested_by(spec) == {"cpu": 1.0, "memory": 2.0**30, "nvidia.com/gpu": 1.0}


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans())), st.lists(st.integers(0, 9)))
def test_a_pod_asks_for_no_less_than_any_moment_of_it_needs(
    starting: list[tuple[int, bool]], running: list[int]
) -> None:
    spec = {
        "initContainers": [container(str(cpu), always=always) for cpu, always in starting],
        "containers": [container(str(cpu)) for cpu in running],
    }
    moments = [sum(running) + sum(cpu for cpu, always in starting if always)]
    for number, (cpu, _always) in enumerate(starting):
        moments.append(cpu + sum(other for other, always in starting[:number] if always))
    assert requested_by(spec).get("cpu", 0.0) == max(moments)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1", 1.0),
        (2, 2.0),
        ("100m", 0.1),
        ("250000u", 0.25),
        ("1500n", 1.5e-6),
        ("1.5Gi", 1.5 * 2**30),
        ("128974848", 128974848.0),
        ("129e6", 129e6),
        ("2E", 2e18),
        ("1Ei", 2.0**60),
        ("-1", -1.0),
    ],
)
def test_a_quantity_is_read(text: str | int, amount: float) -> None:
    assert amount_of(text) == pytest.approx(amount)


@pytest.mark.parametrize("text", ["", "x", "1Q", "1 Gi", "mi", "1ni"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        amount_of(text)
