"""`slm crd`: the custom resource definitions."""

from typing import Annotated

import typer

from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.cli.output import (
    DataFormat,
    DataOutputOption,
    json_text,
    print_text,
    yaml_text,
)


def crd(
    name: Annotated[
        str | None, typer.Argument(help="One kind, such as SmallModel; default: all.")
    ] = None,
    output: DataOutputOption = DataFormat.YAML,
) -> None:
    """Print the CustomResourceDefinitions, for `kubectl apply --server-side -f -`."""
    from smallmodel_operator.api.crd import KINDS, build

    wanted = (name or "").lower()
    kinds = [
        kind
        for kind in KINDS
        if not name or wanted in (kind.name.lower(), kind.plural, kind.short_name, kind.crd_name)
    ]
    if not kinds:
        known = ", ".join(kind.name for kind in KINDS)
        raise CommandError(f"there is no kind {name!r}; the kinds are {known}", ExitCode.NOT_FOUND)
    definitions = [build(kind) for kind in kinds]
    if output is DataFormat.YAML:
        print_text("\n---\n".join(yaml_text(definition) for definition in definitions))
    elif name:
        print_text(json_text(definitions[0]))
    else:
        print_text(json_text({"apiVersion": "v1", "kind": "List", "items": definitions}))
