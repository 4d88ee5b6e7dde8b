"""Renders the chart with the real Helm."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from tools.kubernetes_cli import fetch_program

CHART: Final = Path(__file__).resolve().parent.parent / "charts" / "smallmodel-operator"
RELEASE: Final = "smallmodel-operator"
NAMESPACE: Final = "smallmodel-system"

Manifest = dict[str, Any]


class RenderFailed(Exception):
    """Helm refused the values or the templates; the message is Helm's."""


def render_text(
    arguments: Sequence[str] = (), *, release: str = RELEASE, namespace: str = NAMESPACE
) -> str:
    """Return what `helm template` prints.

    Raises:
        ProgramUnavailable: Helm is not to be had.
        RenderFailed: The values or the templates are wrong.
    """
    ended = subprocess.run(
        [fetch_program("helm"), "template", release, CHART, "--namespace", namespace, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if ended.returncode:
        raise RenderFailed(ended.stderr.strip())
    return ended.stdout


def render(
    arguments: Sequence[str] = (), *, release: str = RELEASE, namespace: str = NAMESPACE
) -> list[Manifest]:
    """Return the objects that `helm template` prints, in its order.

    Raises:
        ProgramUnavailable: Helm is not to be had.
        RenderFailed: The values or the templates are wrong.
    """
    text = render_text(arguments, release=release, namespace=namespace)
    return [found for found in yaml.safe_load_all(text) if found]


def has_hook(manifest: Manifest) -> bool:
    """Tell whether Helm treats an object as a hook, and not as part of the release."""
    return "helm.sh/hook" in (manifest["metadata"].get("annotations") or {})
