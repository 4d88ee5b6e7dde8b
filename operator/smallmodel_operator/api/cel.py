"""Rules that an API server checks, written beside the models that they belong to.

Each has a twin in a pydantic validator of the same model, and a test runs both on one table.
"""

from typing import NamedTuple

from pydantic.config import JsonDict


class Rule(NamedTuple):
    """One rule in the Common Expression Language, and what is said when it is broken."""

    expression: str
    """`self` is the value of the model that carries the rule, with its defaults filled in."""
    message: str


def checked_by(*rules: Rule) -> JsonDict:
    """Return the `json_schema_extra` that carries rules into the CRD."""
    return {
        "x-kubernetes-validations": [
            {"rule": rule.expression, "message": rule.message} for rule in rules
        ]
    }


def keyed_by(field: str) -> JsonDict:
    """Return the `json_schema_extra` of a list whose items differ in one field."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [field]}
