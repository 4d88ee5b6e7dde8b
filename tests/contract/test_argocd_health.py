"""What Argo CD makes of a SmallModel, by running the shipped check as Argo CD runs it: in Lua.

`testdata/` has statuses as the operator writes them; `make golden` writes them anew. The folder has
the form that Argo CD keeps its own checks in.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from lupa import lua51

from builders.observations import observation
from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.fetch import FetchProgress
from smallmodel_operator.api.names import API_VERSION
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import EngineState
from smallmodel_operator.api.smallmodel import SmallModelStatus
from smallmodel_operator.catalog.options import ResolveError
from smallmodel_operator.placement.placement import Unplaced
from smallmodel_operator.status.observation import Deployment, Observation, Probe
from smallmodel_operator.status.summarise import summarise

ROOT: Final = Path(__file__).resolve().parents[2]
ARGOCD: Final = ROOT / "config" / "argocd"
CHECK: Final = ARGOCD / "resource_customizations" / "smallmodel.dev" / "SmallModel"
HEALTHS: Final = ("Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown")
CASES: Final = yaml.safe_load((CHECK / "health_test.yaml").read_text(encoding="utf-8"))["tests"]
NOW: Final = "2026-11-24T12:00:00Z"

RUNS: Final = Deployment(serving_hash="aaa", healthy=True, failed=False, replicas=1)
PASSED: Final = Probe(serving_hash="aaa", passed=True, reason=Reason.VERIFIED, message="ok")
READY: Final = observation(deployment=RUNS, probe=PASSED, engine=EngineState.AWAKE)


def status(seen: Observation, previous: SmallModelStatus | None = None) -> SmallModelStatus:
    return summarise(seen, previous or SmallModelStatus(), NOW)


def changed(**changes: Any) -> Observation:
    return dataclasses.replace(READY, **changes)


# Each with the generation of its spec: the status speaks of generation 3.
RECORDED: Final[dict[str, tuple[int, SmallModelStatus | None]]] = {
    "new": (1, None),
    "fetching": (3, status(changed(
        outcome=None, deployment=None, probe=None,
        fetch=FetchProgress(done_bytes=43, total_bytes=100),
    ))),
    "deploying": (3, status(changed(deployment=None, probe=None))),
    "ready": (3, status(READY)),
    "asleep": (3, status(changed(engine=EngineState.ASLEEP))),
    "changed": (4, status(READY)),
    "updating": (3, status(changed(serving_hash="bbb", probe=None), status(READY))),
    "unknown-model": (3, status(changed(
        outcome=ResolveError(reason=Reason.UNKNOWN_MODEL, message="there is no card little-2b"),
    ))),
    "no-room": (3, status(changed(
        outcome=Unplaced(reason=Reason.MEMORY_FIT, message="needs 4 GiB, 2 GiB are free"),
        deployment=None, probe=None,
    ))),
    "failed": (3, status(changed(
        deployment=dataclasses.replace(RUNS, healthy=False, failed=True, message="no such file"),
        probe=None,
    ))),
}  # fmt: skip


def object_of(name: str) -> dict[str, Any]:
    generation, known = RECORDED[name]
    made: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "SmallModel",
        "metadata": {"name": "chat", "namespace": "team", "generation": generation},
        "spec": {"model": "little-1b"},
    }
    if known is not None:
        made["status"] = known.model_dump(mode="json", exclude_none=True)
    return made


def health_of(manifest: dict[str, Any]) -> dict[str, str]:
    """Run the check in the interpreter and with the one variable that Argo CD gives it."""
    lua = lua51.LuaRuntime(register_eval=False)
    lua.globals().obj = lua.table_from(manifest, recursive=True)
    found = lua.execute((CHECK / "health.lua").read_text(encoding="utf-8"))
    return dict(found.items())


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_object_is_what_the_operator_writes(name: str) -> None:
    path = CHECK / "testdata" / f"{name}.yaml"
    text = yaml.safe_dump(object_of(name), sort_keys=False)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, "run `make golden` and read the difference"


@pytest.mark.parametrize("case", CASES, ids=lambda case: Path(case["inputPath"]).stem)
def test_its_health_is(case: dict[str, Any]) -> None:
    manifest = yaml.safe_load((CHECK / case["inputPath"]).read_text(encoding="utf-8"))
    assert health_of(manifest) == case["healthStatus"]


def test_every_recorded_object_has_a_health() -> None:
    stems = [Path(case["inputPath"]).stem for case in CASES]
    assert sorted(stems) == sorted(RECORDED)
    assert {path.stem for path in (CHECK / "testdata").iterdir()} == set(RECORDED)


def test_healthy_is_said_of_what_is_ready_and_of_nothing_else() -> None:
    for name, (generation, known) in RECORDED.items():
        conditions = known.conditions if known else ()
        ready = any(
            one.type == ConditionType.READY
            and one.status == "True"
            and one.observed_generation == generation
            for one in conditions
        )
        health = health_of(object_of(name))
        assert health["status"] in HEALTHS
        assert (health["status"] == "Healthy") == ready, name


def test_the_patch_for_argocd_has_the_check() -> None:
    patch = yaml.safe_load((ARGOCD / "argocd-cm.yaml").read_text(encoding="utf-8"))
    key = "resource.customizations.health.smallmodel.dev_SmallModel"
    assert patch["data"][key] == (CHECK / "health.lua").read_text(encoding="utf-8")
