"""What the repository ships is what its own command line and an API server would take."""

from pathlib import Path
from typing import Final

import pytest
import yaml

from builders.fake_api_server import fake_admit
from smallmodel_operator.api import crd
from smallmodel_operator.local.manifests import read_manifests

ROOT: Final = Path(__file__).resolve().parents[2]
CARDS: Final = ROOT / "operator" / "smallmodel_operator" / "catalog" / "cards"
# Beside ours, `examples/gitops/` has objects of the tools that it is for.
EXAMPLES: Final = (ROOT / "examples").glob("*.yaml")
SHIPPED: Final = sorted([*EXAMPLES, *CARDS.rglob("*.yaml")])
SCHEMAS: Final = {kind.name: crd.structural_schema(kind.model) for kind in crd.KINDS}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_shipped_file_is_free_of_problems(path: Path) -> None:
    found = read_manifests([path])
    assert [str(problem) for problem in found.problems] == []
    assert found.manifests != ()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_shipped_file_is_admitted_by_the_crds(path: Path) -> None:
    documents = [d for d in yaml.safe_load_all(path.read_text(encoding="utf-8")) if d]
    refused = {d["metadata"]["name"]: fake_admit(SCHEMAS[d["kind"]], d) for d in documents}
    assert {name: why for name, why in refused.items() if why} == {}


@pytest.mark.parametrize("kind", crd.KINDS, ids=lambda kind: kind.name)
def test_the_committed_definition_is_the_one_that_the_models_make(kind: crd.Kind) -> None:
    text = (ROOT / "crds" / f"{kind.crd_name}.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text) == crd.build(kind)
