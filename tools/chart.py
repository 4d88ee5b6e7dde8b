"""What the Helm chart gets from elsewhere in the repository. Values in, text out."""

from typing import Final

FOLDER: Final = "charts/smallmodel-operator"

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
    return f"{_HEAD}{{{{- if .Values.crds.install }}}}\n{body}{{{{- end }}}}\n"
