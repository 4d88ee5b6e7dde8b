"""What the Helm chart gets from elsewhere in the repository. Values in, text out."""

from typing import Final

from smallmodel_operator.cli.output import yaml_text
from smallmodel_operator.plan import agents

FOLDER: Final = "charts/smallmodel-operator"
ARGOCD: Final = "config/argocd"
HEALTH: Final = f"{ARGOCD}/resource_customizations/smallmodel.dev/SmallModel/health.lua"

_HEAD: Final = "{{- /* Written by `make generate`; edit the code that it comes from. */ -}}\n"
_METADATA: Final = """\
  annotations:
    # Deleting a definition deletes every object of its kind: that is for a person to do.
    helm.sh/resource-policy: keep
  labels:
    {{- include "smallmodel.labels" . | nindent 4 }}
"""


def crd_template(text: str) -> str:
    """Return a CustomResourceDefinition as a template of the chart, which so upgrades it.

    The text stays as it is: Helm's own YAML functions would turn large whole numbers into floats.

    Raises:
        ValueError: The text is not what `make generate` writes into `crds/`.
    """
    head, mark, rest = text.partition("\nspec:\n")
    if not mark or "{{" in text or "annotations:" in head or "labels:" in head:
        raise ValueError("a CustomResourceDefinition with neither labels nor templates is needed")
    body = f"{head}\n{_METADATA}spec:\n{rest}"
    # Of all kinds, another cluster than the hub's has placements alone.
    where = "" if "\n  name: modelplacements." in head else ' (eq .Values.role "Hub")'
    condition = f"and .Values.crds.install{where}" if where else ".Values.crds.install"
    return f"{_HEAD}{{{{- if {condition} }}}}\n{body}{{{{- end }}}}\n"


def agent_permissions() -> str:
    """Return what the agent's roles grant in its own cluster, as the chart's roles are made of."""
    lists = {"cluster": agents.IN_CLUSTER, "own": agents.IN_RELEASE}
    written = {
        place: [
            {
                "why": grant.why,
                "groups": [grant.group],
                "resources": list(grant.resources),
                "verbs": list(grant.verbs),
            }
            | ({"names": list(grant.names)} if grant.names else {})
            for grant in grants
        ]
        for place, grants in lists.items()
    }
    return f"# Written by `make generate` from plan/agents.py.\n{yaml_text(written)}\n"


def argocd_config_map(health: str) -> str:
    """Return the part of Argo CD's ConfigMap that teaches it the health of a SmallModel."""
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "argocd-cm", "namespace": "argocd"},
        "data": {"resource.customizations.health.smallmodel.dev_SmallModel": health},
    }
    return f"# Written by `make generate` from health.lua.\n{yaml_text(manifest)}\n"
