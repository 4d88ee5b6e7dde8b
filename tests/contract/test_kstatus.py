"""What kstatus and Argo CD make of a SmallModel in every state, by running them.

The objects in `statuses/` are made by the operator's own code; `make golden` writes them anew.
`statuses/expected.yaml` is written by hand.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from lupa import lua51

from builders.small_model_states import STATES
from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.status.state import is_true

HERE: Final = Path(__file__).parent
ARGO_CHECK: Final = (
    HERE.parents[1] / "config/argocd/resource_customizations/smallmodel.dev/SmallModel/health.lua"
)
STATUSES: Final = HERE / "statuses"
EXPECTED: Final[dict[str, dict[str, str]]] = yaml.safe_load(
    (STATUSES / "expected.yaml").read_text(encoding="utf-8")
)
MINUTES_TO_BUILD: Final = 10


@pytest.fixture(scope="module")
def kstatus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that asks the library, built from modules that Go keeps in its own cache."""
    go = shutil.which("go")
    if go is None:
        if os.environ.get("CI"):
            pytest.fail("Go is needed here, and there is no program `go` on the PATH")
        pytest.skip("needs Go, from https://go.dev/dl/, to build what runs kstatus")
    program = tmp_path_factory.mktemp("kstatus") / "kstatus"
    built = subprocess.run(
        [go, "build", "-o", program, "."],
        cwd=HERE / "kstatus",
        env={**os.environ, "GOWORK": "off", "GOFLAGS": "-mod=readonly"},
        check=False,
        capture_output=True,
        text=True,
        timeout=MINUTES_TO_BUILD * 60,
    )
    assert built.returncode == 0, built.stderr
    return program


@pytest.fixture(scope="module")
def judged(kstatus: Path) -> dict[str, dict[str, str]]:
    """What the library says of each object, by state."""
    names = sorted(STATES)
    lines = [json.dumps(_read(name)) for name in names]
    ended = subprocess.run(
        [kstatus], input="\n".join(lines), check=True, capture_output=True, text=True, timeout=60
    )
    answers = [json.loads(line) for line in ended.stdout.splitlines()]
    return dict(zip(names, answers, strict=True))


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((STATUSES / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", STATES)
def test_a_recorded_object_is_what_the_operator_writes(name: str) -> None:
    path = STATUSES / f"{name}.yaml"
    text = yaml.safe_dump(STATES[name].manifest, sort_keys=False, width=100)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), "run `make golden` and read what it wrote"
    assert path.read_text(encoding="utf-8") == text, "run `make golden` and read the difference"


def test_every_state_is_recorded_and_judged() -> None:
    assert set(EXPECTED) == set(STATES)
    assert {path.stem for path in STATUSES.glob("*.yaml")} == {*STATES, "expected"}


@pytest.mark.timeout((MINUTES_TO_BUILD + 2) * 60)
@pytest.mark.parametrize("name", STATES)
def test_kstatus_says_what_is_so(name: str, judged: dict[str, dict[str, str]]) -> None:
    assert judged[name]["status"] == EXPECTED[name]["kstatus"], judged[name]["message"]


@pytest.mark.parametrize("name", [name for name, state in STATES.items() if not state.deleted])
def test_argo_says_what_is_so(name: str) -> None:
    lua = lua51.LuaRuntime(register_eval=False)
    lua.globals().obj = lua.table_from(_read(name), recursive=True)
    assert lua.execute(ARGO_CHECK.read_text(encoding="utf-8")).status == EXPECTED[name]["argo"]


@pytest.mark.parametrize("name", STATES)
def test_kstatus_and_argo_agree_with_the_conditions(name: str) -> None:
    """Neither calls a model done that is not ready, nor hopeless while the operator goes on."""
    state, expected = STATES[name], EXPECTED[name]
    seen = state.status is not None and state.generation == 3 and not state.deleted
    ready, stalled = (
        seen and state.status is not None and is_true(state.status, kind)
        for kind in (ConditionType.READY, ConditionType.STALLED)
    )
    assert (expected["kstatus"] == "Current") is ready
    assert (expected["argo"] == "Healthy") is ready
    assert (expected["kstatus"] == "Failed") is stalled
    assert not stalled or expected["argo"] == "Degraded"
