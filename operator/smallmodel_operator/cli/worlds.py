"""Reading what `kubectl get -o yaml` recorded, for `slm whatif`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import ValidationError

from smallmodel_operator.api.base import ApiModel
from smallmodel_operator.api.datasource import DataSource
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.placement.whatif import World

RECORD: Final = (
    "kubectl get modelclusters,datasources,smallmodels,modelplacements -A -o yaml > world.yaml"
)
"""What records a world."""

_KINDS: Final[dict[str, type[ApiModel]]] = {
    "ModelCluster": ModelCluster,
    "DataSource": DataSource,
    "SmallModel": SmallModel,
    "ModelPlacement": ModelPlacement,
}
_Kind = TypeVar("_Kind", bound=ApiModel)


def read_world(path: Path) -> World:
    """Return what a file recorded.

    Raises:
        CommandError: It cannot be read, or has something that is no part of a world.
    """
    objects = [_read(one, path) for one in _objects(path)]
    world = World(
        clusters=_of(objects, ModelCluster),
        sources=_of(objects, DataSource),
        models=_of(objects, SmallModel),
        placements=_of(objects, ModelPlacement),
    )
    if not world.clusters:
        raise CommandError(
            f"{path} has no ModelCluster, and without one there is no place to run. Record: "
            f"{RECORD}",
            ExitCode.INVALID_MANIFEST,
        )
    return world


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        message = f"{path} does not exist. Record a world: {RECORD}"
        raise CommandError(message, ExitCode.NOT_FOUND) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        message = f"{path} is not valid YAML: {error}"
        raise CommandError(message, ExitCode.INVALID_MANIFEST) from error
    for document in documents:
        if isinstance(document, dict) and document.get("kind") == "List":
            yield from document.get("items") or ()
        elif document is not None:
            yield document


def _read(manifest: Any, path: Path) -> ApiModel:
    kind = manifest.get("kind") if isinstance(manifest, dict) else None
    model = _KINDS.get(str(kind))
    if model is None:
        raise CommandError(
            f"{path} has {kind or 'something without a kind'}, and a world is made of "
            f"{', '.join(_KINDS)}. Record: {RECORD}",
            ExitCode.INVALID_MANIFEST,
        )
    try:
        return model.model_validate(manifest)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        name = (manifest.get("metadata") or {}).get("name")
        raise CommandError(
            f"{path}: {kind} {name}: {where}: {first['msg']}", ExitCode.INVALID_MANIFEST
        ) from error


def _of(objects: list[ApiModel], kind: type[_Kind]) -> tuple[_Kind, ...]:
    return tuple(one for one in objects if isinstance(one, kind))
