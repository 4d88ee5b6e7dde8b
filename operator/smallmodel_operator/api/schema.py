"""Walking the API's models: which fields stand under a place in a manifest."""

from collections.abc import Iterator, Sequence
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def alias(name: str, info: FieldInfo) -> str:
    """Return a field's name as YAML has it."""
    return info.alias or name


def model_of(annotation: object) -> type[BaseModel] | None:
    """Return the model in an annotation such as `Model`, `Model | None` or `tuple[Model, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := model_of(arg))), None)


def fields_of(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """Yield the fields of a model by their names in YAML, in the order of declaration."""
    for name, info in model.model_fields.items():
        yield alias(name, info), info


def fields_at(model: type[BaseModel], location: Sequence[str | int]) -> tuple[str, ...]:
    """Return the names of the fields that may stand at a place, in YAML's spelling.

    Args:
        model: Where the location starts.
        location: Names and indexes down from there; indexes are passed over.
    """
    current: type[BaseModel] | None = model
    for name in (part for part in location if isinstance(part, str)):
        info = dict(fields_of(current)).get(name) if current else None
        current = model_of(info.annotation) if info else None
    return tuple(name for name, _ in fields_of(current)) if current else ()
