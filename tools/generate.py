"""Writes what is made from code: `crds/` and the pages of `docs/reference/`.

Run as `make generate`. Prints the files that changed; with `--list`, the names of all of them.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import typer.main
from typer.core import TyperGroup

from smallmodel_operator.api import crd
from smallmodel_operator.cli.cluster.app import app as cluster_app
from smallmodel_operator.cli.main import app
from smallmodel_operator.cli.output import yaml_text
from smallmodel_operator.local.bundled import fetch_bundled_cards
from tools import chart, chart_values, kustomize, pages, permissions

ROOT: Final = Path(__file__).resolve().parent.parent


def generated_files() -> Iterator[tuple[str, str]]:
    """Yield each file's path below the repository's root, and its text."""
    for kind in crd.KINDS:
        text = yaml_text(crd.build(kind)) + "\n"
        yield f"crds/{kind.crd_name}.yaml", text
        yield f"{chart.FOLDER}/templates/crds/{kind.crd_name}.yaml", chart.crd_template(text)
        yield f"docs/reference/{kind.name.lower()}.md", pages.kind_page(kind)
    yield from kustomize.kustomize_files()
    text, schema = (
        (ROOT / chart.FOLDER / name).read_text(encoding="utf-8")
        for name in ("values.yaml", "values.schema.json")
    )
    yield "docs/reference/chart-values.md", chart_values.values_page(text, schema)
    rules = (ROOT / chart.FOLDER / "files" / "permissions.yaml").read_text(encoding="utf-8")
    yield "docs/reference/permissions.md", permissions.permissions_page(rules)
    yield f"{chart.FOLDER}/files/agent-permissions.yaml", chart.agent_permissions()
    health = (ROOT / chart.HEALTH).read_text(encoding="utf-8")
    yield f"{chart.ARGOCD}/argocd-cm.yaml", chart.argocd_config_map(health)
    yield "docs/reference/reasons.md", pages.reasons_page()
    yield "docs/reference/conditions.md", pages.conditions_page()
    yield "docs/reference/catalogue.md", pages.catalogue_page(fetch_bundled_cards().cards)
    local, cluster = typer.main.get_command(app), typer.main.get_command(cluster_app)
    assert isinstance(local, TyperGroup)  # noqa: S101 - what typer makes of several commands
    assert isinstance(cluster, TyperGroup)  # noqa: S101 - as above
    yield "docs/reference/cli.md", pages.cli_page(local, cluster)


def main(arguments: Sequence[str]) -> None:
    """Write the files whose text changed, or list all."""
    for name, text in generated_files():
        if "--list" in arguments:
            sys.stdout.write(f"{name}\n")
            continue
        path = ROOT / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {name}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
