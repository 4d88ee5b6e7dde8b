"""A fake of what a Kubernetes API server does with an object of a CRD.

It prunes nulls, fills in defaults, checks the schema and then the CEL rules, in that order, as
apiextensions does. It knows no other admission; the rules run on a real API server elsewhere.
"""

from collections.abc import Iterator
from typing import Any

import jsonschema
from cel_expr_python import cel

from smallmodel_operator.api.crd import Schema

_ENVIRONMENT = cel.NewEnv(variables={"self": cel.Type.DYN})


def fake_admit(schema: Schema, given: object) -> list[str]:
    """Return why the object would be refused; nothing when it is admitted."""
    value = _defaulted(schema, _pruned(given))
    errors = [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(value)]
    errors.extend(_duplicate_keys(schema, value))
    return errors or list(_broken_rules(schema, value))


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _pruned(child) for key, child in value.items() if child is not None}
    return [_pruned(child) for child in value] if isinstance(value, list) else value


def _defaulted(schema: Schema, value: Any) -> Any:
    if isinstance(value, list):
        return [_defaulted(schema.get("items", {}), child) for child in value]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties", {})
    filled = {name: child["default"] for name, child in properties.items() if "default" in child}
    return {
        name: _defaulted(properties.get(name, {}), child)
        for name, child in {**filled, **value}.items()
    }


def _nodes(schema: Schema, value: Any) -> Iterator[tuple[Schema, Any]]:
    yield schema, value
    if isinstance(value, dict):
        for name, child in value.items():
            if name in schema.get("properties", {}):
                yield from _nodes(schema["properties"][name], child)
    if isinstance(value, list):
        for child in value:
            yield from _nodes(schema.get("items", {}), child)


def _duplicate_keys(schema: Schema, value: Any) -> Iterator[str]:
    for node, found in _nodes(schema, value):
        if isinstance(found, list) and node.get("x-kubernetes-list-type") == "map":
            keys = [
                tuple(item.get(k) for k in node["x-kubernetes-list-map-keys"]) for item in found
            ]
            if len(set(keys)) != len(keys):
                yield f"duplicate among {keys}"


def _broken_rules(schema: Schema, value: Any) -> Iterator[str]:
    for node, found in _nodes(schema, value):
        for rule in node.get("x-kubernetes-validations", ()):
            verdict = _ENVIRONMENT.compile(rule["rule"]).eval(data={"self": found}).value()
            if verdict is not True:
                yield rule["message"] if verdict is False else f"{rule['rule']}: {verdict}"
