"""The page of the chart's values, from its two files. Values in, text out."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

_COMMENT: Final = re.compile(r"^( *)# -- (.*)$")
_KEY: Final = re.compile(r"^( *)([A-Za-z]\w*):")


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value of the chart."""

    path: tuple[str, ...]
    default: Any
    description: str

    @property
    def name(self) -> str:
        """As `--set` takes it."""
        return ".".join(self.path)


def chart_values(text: str) -> Iterator[Value]:
    """Yield the values that have a `# --` comment above them, in the file's order.

    Raises:
        ValueError: A comment stands above no key.
    """
    defaults = yaml.safe_load(text)
    path: list[str] = []
    description: str | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if comment := _COMMENT.match(line):
            description = comment[2]
            continue
        key = _KEY.match(line)
        if key is None:
            if description is not None:
                raise ValueError(f"values.yaml:{number - 1}: the comment stands above no key")
            continue
        path[len(key[1]) // 2 :] = [key[2]]
        if description is not None:
            yield Value(path=tuple(path), default=_at(defaults, path), description=description)
            description = None


def values_page(text: str, schema: str) -> str:
    """Return the page.

    Raises:
        ValueError: A value has no place in the schema.
    """
    root = json.loads(schema)
    rows = [
        f"| `{value.name}` | {_type(_node(root, value))} | `{_shown(value.default)}` "
        f"| {value.description} |"
        for value in chart_values(text)
    ]
    parts = [
        "# Values of the Helm chart",
        "<!-- Written by `make generate` from charts/smallmodel-operator/values.yaml. -->",
        "A value that is misspelt or out of bounds is refused by `helm install` and "
        "`helm upgrade`, with its path and the rule. "
        "[How to install](../how-to/install-on-kind.md) shows the few that a cluster needs.",
        "\n".join(["| Value | Type | Default | What |", "| --- | --- | --- | --- |", *rows]),
    ]
    return "\n\n".join(parts) + "\n"


def _at(node: Any, path: list[str]) -> Any:
    for key in path:
        node = node[key]
    return node


def _shown(default: Any) -> str:
    return json.dumps(default, ensure_ascii=False).replace("|", "\\|")


def _resolved(root: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    found: dict[str, Any] = root["$defs"][reference.rsplit("/", 1)[-1]] if reference else node
    return found


def _node(root: dict[str, Any], value: Value) -> dict[str, Any]:
    node = root
    for key in value.path:
        inside = _resolved(root, node).get("properties", {})
        if key not in inside:
            raise ValueError(f"{value.name} is in values.yaml and not in values.schema.json")
        node = inside[key]
    found = _resolved(root, node)
    if found.get("type") == "array" and "items" in found:
        return found | {"items": _resolved(root, found["items"])}
    return found


def _type(node: dict[str, Any]) -> str:
    if "enum" in node:
        return " \\| ".join(f"`{choice}`" for choice in node["enum"])
    kinds = node.get("type", "string")
    kind = kinds if isinstance(kinds, str) else " or ".join(kinds)
    if kind == "array":
        return f"list of {_type(node.get('items', {}))}"
    low, high = node.get("minimum"), node.get("maximum")
    return f"{kind}, {low} to {high}" if low is not None and high is not None else kind
