"""Reference pages, as Markdown, from what the code says of itself. Values in, text out."""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

from typer.core import TyperCommand, TyperGroup

from smallmodel_operator.api import patterns
from smallmodel_operator.api.base import human_bytes
from smallmodel_operator.api.conditions import ClusterConditionType, ConditionType
from smallmodel_operator.api.crd import Kind, Schema, structural_schema
from smallmodel_operator.api.datasource import AppliesTo, Enforcement
from smallmodel_operator.api.jurisdictions import COUNTRIES, GROUPS
from smallmodel_operator.api.modelcard import Evidence, Format, ModelCard, Task
from smallmodel_operator.api.names import API_VERSION
from smallmodel_operator.api.reasons import EXPLANATIONS, Reason
from smallmodel_operator.api.smallmodel import Engine, Isolation
from smallmodel_operator.api.where import TaintEffect, Tier

_GENERATED: Final = "<!-- Written by `make generate`; edit the code that it comes from. -->"
_TYPES_OF_THEIR_OWN: Final = {
    patterns.DURATION: "duration",
    patterns.QUANTITY: "quantity",
    patterns.MONEY: "money",
}
_ENUMS: Final[tuple[type[StrEnum], ...]] = (
    Engine,
    Isolation,
    Tier,
    TaintEffect,
    Enforcement,
    AppliesTo,
    Task,
    Format,
    Evidence,
)


def kind_page(kind: Kind) -> str:
    """Return the page of a kind: every field with its type, default and meaning."""
    root = structural_schema(kind.model)
    scope = "a namespace" if kind.scope == "Namespaced" else "the whole cluster"
    money = f" Money is {patterns.MEANINGS[patterns.MONEY]}." if patterns.MONEY in str(root) else ""
    parts = [
        f"# {kind.name}",
        _GENERATED,
        f"{root['description']} It belongs to {scope}; `kubectl get {kind.short_name}` lists it.",
        f"```yaml\napiVersion: {API_VERSION}\nkind: {kind.name}\n```",
        f"A duration is {patterns.MEANINGS[patterns.DURATION].partition(', ')[2]}; a quantity is "
        f"{patterns.MEANINGS[patterns.QUANTITY].partition(', ')[2]}.{money}",
        *_rules(root, "metadata"),
    ]
    used: set[tuple[str, ...]] = set()
    for section in ("spec", "status"):
        if section in root["properties"]:
            parts.extend(_section(section, root["properties"][section], used))
    parts.extend(_enum_section(enum) for enum in _ENUMS if tuple(enum) in used)
    return _page(parts)


def reasons_page() -> str:
    """Return the page that explains every reason."""
    rows = [(f"`{reason}`", EXPLANATIONS[reason]) for reason in Reason]
    return _page(
        [
            "# Reasons",
            _GENERATED,
            "Every condition, event and error carries one of these words. The message beside it "
            "has the value, the rule and the next step.",
            _table(("Reason", "What it means"), rows),
        ]
    )


def conditions_page() -> str:
    """Return the page of the condition types."""
    return _page(
        [
            "# Conditions",
            _GENERATED,
            "`status.conditions` of a SmallModel. Each condition names the generation of the spec "
            "that it speaks of, and carries a [reason](reasons.md).",
            _table(("Type", "True when"), _meanings(ConditionType)),
            "Those of a ModelCluster:",
            _table(("Type", "True when"), _meanings(ClusterConditionType)),
        ]
    )


def catalogue_page(cards: Sequence[ModelCard]) -> str:
    """Return the page that lists the cards which come with the project."""
    rows = [
        (
            f"`{card.metadata.name}`",
            card.spec.task,
            _billions(card),
            str(card.spec.context_length),
            card.spec.license.id + (" (restricted)" if card.spec.license.restricted else ""),
            ", ".join(
                f"{variant.name}" + (f" ({human_bytes(variant.bytes)})" if variant.bytes else "")
                for variant in card.spec.variants
            )
            or "closed",
            card.spec.evidence,
        )
        for card in cards
    ]
    columns = ("Card", "Task", "Parameters", "Context", "Licence", "Variants", "Evidence")
    return _page(
        [
            "# Catalogue",
            _GENERATED,
            "`spec.model` of a SmallModel is one of these names. A variant's size is given where "
            "it is known.",
            _table(columns, rows),
            _enum_section(Evidence),
        ]
    )


def cli_page(local: TyperGroup, cluster: TyperGroup) -> str:
    """Return the page of both commands and all that is under them, as `--help` prints it."""
    parts = ["# The slm command", _GENERATED, local.help or "", *_helps(local, "slm")]
    parts += ["# kubectl slm", cluster.help or "", *_helps(cluster, "kubectl slm")]
    return _page(parts)


def _helps(root: TyperGroup, program: str) -> Iterator[str]:
    for path, command in _commands(root, (program,)):
        name = " ".join(path)
        context = command.make_context(name, [], resilient_parsing=True, terminal_width=96)
        yield f"## {name}"
        yield f"```text\n{context.get_help()}\n```"


def _section(path: str, node: Schema, used: set[tuple[str, ...]]) -> Iterator[str]:
    """Yield a table for an object, and after it those of the objects inside."""
    yield f"## {path}"
    yield node["description"]
    required = node.get("required", ())
    rows = []
    inner: list[tuple[str, Schema]] = []
    for name, child in node.get("properties", {}).items():
        used.add(tuple(child.get("enum", ())))
        rows.append((f"`{name}`", _type(child), _default(child, name in required), _about(child)))
        below = child.get("items", child)
        if "properties" in below:
            inner.append((f"{path}.{name}" + ("[]" if below is not child else ""), below))
    yield _table(("Field", "Type", "Default", "Meaning"), rows)
    yield from _rules(node, path)
    for inner_path, below in inner:
        yield from _section(inner_path, below, used)


def _rules(node: Schema, path: str) -> list[str]:
    rules = node.get("x-kubernetes-validations", ())
    if not rules:
        return []
    messages = "\n".join(f"- {rule['message']}" for rule in rules)
    return [f"What is refused in `{path}`, and the message:", messages]


def _type(node: Schema) -> str:
    if set(node.get("enum", ())) >= COUNTRIES:
        groups = [f"`{value}`" for value in node["enum"] if value in GROUPS]
        return " \\| ".join(["ISO 3166-1 code", *groups])
    if "enum" in node:
        return " \\| ".join(f"`{value}`" for value in node["enum"])
    if node.get("pattern") in _TYPES_OF_THEIR_OWN:
        return _TYPES_OF_THEIR_OWN[node["pattern"]]
    if "additionalProperties" in node:
        return f"map of {_type(node['additionalProperties'])}"
    if "items" in node:
        return f"list of {_type(node['items'])}"
    return str(node["type"])


def _default(node: Schema, required: bool) -> str:
    if required:
        return "required"
    # An object's default is that of its fields, each of which has a row of its own.
    if node.get("default") in (None, []) or isinstance(node["default"], dict):
        return ""
    value = node["default"]
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _about(node: Schema) -> str:
    return " ".join([node["description"], *_limits(node)])


def _limits(node: Schema) -> Iterator[str]:
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None:
        yield f"From {low} to {high}."
    elif low is not None:
        yield f"At least {low}."
    meaning = patterns.MEANINGS.get(node.get("pattern", ""))
    if meaning and node["pattern"] not in _TYPES_OF_THEIR_OWN:
        yield f"Written as {meaning}."
    if "maxItems" in node:
        yield f"At most {node['maxItems']} entries."


def _enum_section(enum: type[StrEnum]) -> str:
    about = inspect.getdoc(enum) or ""
    return f"## {enum.__name__}\n\n{about}\n\n{_table(('Value', 'Meaning'), _meanings(enum))}"


def _meanings(enum: type[StrEnum]) -> list[tuple[str, str]]:
    """Return the members of an enum, each with the docstring that stands below it."""
    definition = ast.parse(textwrap.dedent(inspect.getsource(enum))).body[0]
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 - what getsource of a class returns
    texts: dict[str, str] = {}
    for before, after in itertools.pairwise(definition.body):
        match before, after:
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(ast.Constant(str(text))):
                texts[name] = " ".join(text.split())
    return [(f"`{member}`", texts[member.name]) for member in enum]


def _commands(
    group: TyperGroup, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], TyperCommand]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, TyperGroup):
            yield from _commands(command, (*path, name))
        elif isinstance(command, TyperCommand) and not command.hidden:
            yield (*path, name), command


def _billions(card: ModelCard) -> str:
    if card.spec.architecture is None:
        return "unknown"
    count = card.spec.architecture.parameters
    return f"{count / 1e9:.1f} B" if count >= 1e9 else f"{count / 1e6:.0f} M"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(cell.replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _page(parts: Sequence[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"
