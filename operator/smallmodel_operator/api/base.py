"""The base of every API type, and the scalar types that Kubernetes writes as strings."""

import re
from functools import lru_cache
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from smallmodel_operator.api import patterns

_DURATION_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_QUANTITY_FACTORS: Final = {
    "": 1.0,
    "m": 0.001,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
}

Duration = Annotated[str, Field(pattern=patterns.DURATION, max_length=20)]
"""A duration such as "5m"; `seconds` reads it."""


def _whole_numbers_as_text(value: object) -> object:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else value


Quantity = Annotated[
    str,
    Field(
        pattern=patterns.QUANTITY,
        max_length=20,
        json_schema_extra={"x-kubernetes-int-or-string": True},
    ),
    # `cpu: 2` is how people write it, and how Kubernetes reads it.
    BeforeValidator(_whole_numbers_as_text),
]
"""A quantity such as "2Gi"; `amount` reads it."""


class ApiModel(BaseModel):
    """A frozen value whose fields are camelCase in YAML and snake_case in Python."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )


def seconds(duration: Duration) -> float:
    """Return the seconds in a duration such as `"1h30m"`.

    Raises:
        ValueError: The text is not a duration.
    """
    if not re.match(patterns.DURATION, duration):
        raise ValueError(f"{duration!r} is not a duration; write for example 30s, 5m or 1h30m")
    parts = re.findall(r"([0-9.]+)(ms|s|m|h)", duration)
    return sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)


# The same few quantities are read again and again: of each worker class in each cluster.
@lru_cache(maxsize=4096)
def amount(quantity: Quantity) -> float:
    """Return the number that a Kubernetes quantity stands for: bytes, or CPU cores.

    Raises:
        ValueError: The text is not a quantity.
    """
    match = re.match(r"^([0-9.]+)([A-Za-z]*)$", quantity)
    if not match or not re.match(patterns.QUANTITY, quantity):
        raise ValueError(f"{quantity!r} is not a quantity; write for example 500m, 2 or 4Gi")
    return float(match.group(1)) * _QUANTITY_FACTORS[match.group(2)]


def human_bytes(count: float) -> str:
    """Return bytes as people read them: `117 MiB`, `4.6 GiB`."""
    for unit, factor in (("GiB", 2.0**30), ("MiB", 2.0**20), ("KiB", 2.0**10)):
        if count >= factor:
            number = count / factor
            return f"{number:.1f} {unit}" if number < 10 else f"{number:.0f} {unit}"
    return f"{count:.0f} B"
