"""The kustomize bases install what the chart installs."""

import copy
import json
import subprocess
from pathlib import Path
from typing import Final

import yaml

from tools import helm, kustomize
from tools.helm import Manifest
from tools.kubernetes_cli import fetch_program

ROOT: Final = Path(__file__).resolve().parents[2]


def built(folder: str) -> list[Manifest]:
    ended = subprocess.run(
        [fetch_program("kubectl"), "kustomize", ROOT / folder],
        check=True,
        capture_output=True,
        text=True,
    )
    return [found for found in yaml.safe_load_all(ended.stdout) if found]


def by_name(manifests: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    return {(one["kind"], one["metadata"]["name"]): one for one in manifests}


def test_the_committed_files_are_those_that_the_chart_makes() -> None:
    for name, text in kustomize.kustomize_files():
        assert (ROOT / name).read_text(encoding="utf-8") == text, f"run `make generate`: {name}"


def test_the_base_has_every_object_of_the_chart_and_the_namespace(
    default_render: list[Manifest],
) -> None:
    released = [one for one in default_render if not helm.has_hook(one)]
    base = by_name(built("config/default"))
    assert set(base) - set(by_name(released)) == {("Namespace", "smallmodel-system")}
    assert set(by_name(released)) - set(base) == set()


def test_the_base_differs_from_the_chart_in_helms_own_marks_alone(
    default_render: list[Manifest],
) -> None:
    base = by_name(built("config/default"))
    for key, manifest in by_name([o for o in default_render if not helm.has_hook(o)]).items():
        same = copy.deepcopy(manifest)
        del same["metadata"]
        labels = same.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {})
        for mark in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
            labels.pop(mark, None)
        found = {field: value for field, value in base[key].items() if field != "metadata"}
        assert found == same, key


def test_nothing_of_helm_is_left_in_the_bases() -> None:
    for folder in ("config/default", "config/uninstall"):
        assert "helm.sh" not in yaml.safe_dump(built(folder))


def test_the_uninstall_job_is_the_charts_hook() -> None:
    kinds = [one["kind"] for one in built("config/uninstall")]
    assert sorted(kinds) == sorted(
        ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Job"]
    )


def test_the_overlay_of_the_examples_names_images_of_ones_own() -> None:
    found = by_name(built("examples/gitops/kustomize"))
    text = yaml.safe_dump_all(found.values())
    assert "ghcr.io" not in text
    operator = found["Deployment", "smallmodel-operator"]["spec"]["template"]["spec"]
    (told,) = [
        one["value"]
        for one in operator["containers"][0]["env"]
        if one["name"] == "SMALLMODEL_SERVING_CPU_IMAGE"
    ]
    assert told == "registry.example.com/smallmodel/smallmodel-serving-cpu:0.1.0"


def test_what_the_examples_say_to_helm_is_taken_by_the_chart() -> None:
    """Argo CD's and Flux's objects carry values of the chart."""
    folder = ROOT / "examples" / "gitops"
    documents = [
        found
        for path in (folder / "argocd" / "application.yaml", folder / "flux" / "operator.yaml")
        for found in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]
    values = [
        document["spec"].get("values") or document["spec"].get("source", {}).get("helm")
        for document in documents
    ]
    told = [value.get("valuesObject", value) for value in values if value]
    assert len(told) == 2
    for value in told:
        assert helm.render(["--set-json", f"images={json.dumps(value['images'])}"]) != []
