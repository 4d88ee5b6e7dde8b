"""What the schema refuses, in words: the value, the rule and the next step."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydantic_core import ErrorDetails

from smallmodel_operator.api import patterns

_LONGEST_VALUE: Final = 60

# Values of a pydantic error's context have no common type.
Context = Mapping[str, Any]


def explain(detail: ErrorDetails, known_fields: Sequence[str]) -> str:
    """Return one sentence for one error of pydantic.

    Args:
        detail: The error.
        known_fields: The fields that may stand where the refused one does, in YAML's spelling.
    """
    name = str(detail["loc"][-1]) if detail["loc"] else ""
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown_field(name, known_fields)
    if kind == "missing":
        return f"{name} is required and not set"
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    value = _shown(detail["input"])
    if kind in _WANTED_TYPES:
        return f"{value} is {_type_name(detail['input'])}, and {_WANTED_TYPES[kind]} is needed" + (
            _quoting_hint(kind, detail["input"])
        )
    rule = _RULES.get(kind)
    return f"{value} {rule(detail.get('ctx', {}))}" if rule else f"{value}: {detail['msg']}"


_WANTED_TYPES: Final = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "model_type": "a mapping",
    "string_type": "a text",
    "tuple_type": "a list",
}

_RULES: Final[dict[str, Callable[[Context], str]]] = {
    "enum": lambda ctx: f"is not known here; write {ctx['expected']}",
    "greater_than_equal": lambda ctx: f"is too small; the least is {ctx['ge']}",
    "less_than_equal": lambda ctx: f"is too large; the most is {ctx['le']}",
    "literal_error": lambda ctx: f"is not known here; write {ctx['expected']}",
    "string_pattern_mismatch": lambda ctx: f"is not {_meaning(ctx['pattern'])}",
    "string_too_long": lambda ctx: f"is too long; the most is {ctx['max_length']} characters",
    "too_long": lambda ctx: f"has too many entries; the most is {ctx['max_length']}",
    "too_short": lambda ctx: f"has too few entries; the least is {ctx['min_length']}",
}


def _unknown_field(name: str, known_fields: Sequence[str]) -> str:
    by_lower_case = {field.lower(): field for field in known_fields}
    plain = name.replace("_", "").replace("-", "").lower()
    near = difflib.get_close_matches(plain, by_lower_case, n=1)
    if near:
        return f"there is no field {name!r} here; did you mean {by_lower_case[near[0]]}?"
    return f"there is no field {name!r} here; the fields are {', '.join(known_fields)}"


def _meaning(pattern: str) -> str:
    return patterns.MEANINGS.get(pattern, f"of the form {pattern}")


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str) else _yaml_text(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _yaml_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "this" if isinstance(value, dict | list) else str(value)


def _type_name(value: object) -> str:
    names = {
        bool: "true or false",
        dict: "a mapping",
        float: "a number",
        int: "a number",
        list: "a list",
        str: "a text",
        type(None): "empty",
    }
    return names[type(value)]


def _quoting_hint(kind: str, value: object) -> str:
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f'; put it in quotes: "{_yaml_text(value)}"'
    if kind in {"int_type", "float_type"} and isinstance(value, str):
        return "; write it without quotes" if value.isdigit() else ""
    return ""
