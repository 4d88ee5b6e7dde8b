"""How commands print: a table for people, or YAML and JSON for programs."""

import json
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer
import yaml

from smallmodel_operator.api.base import ApiModel
from smallmodel_operator.api.meta import Condition

if TYPE_CHECKING:
    from rich.console import Console

_PIPED_WIDTH: Final = 10_000
"""Columns where nobody looks: a program that reads the table wants every row on one line."""


_INDENT: Final = "  "

Fields = Sequence[tuple[str, object]]
"""Labels and values, in the order in which they are printed."""


class Format(StrEnum):
    """How data is printed."""

    TABLE = "table"
    YAML = "yaml"
    JSON = "json"


class WideFormat(StrEnum):
    """How data is printed where a table can have more columns."""

    TABLE = "table"
    WIDE = "wide"
    YAML = "yaml"
    JSON = "json"


class DataFormat(StrEnum):
    """How data is printed that no table can show."""

    YAML = "yaml"
    JSON = "json"


OutputOption = Annotated[
    Format, typer.Option("--output", "-o", help="How to print it.", case_sensitive=False)
]
WideOutputOption = Annotated[
    WideFormat, typer.Option("--output", "-o", help="How to print it.", case_sensitive=False)
]

DataOutputOption = Annotated[
    DataFormat, typer.Option("--output", "-o", help="How to print it.", case_sensitive=False)
]


def console(*, to_stderr: bool = False) -> "Console":
    """Return rich's console: no colour and no line breaks of its own where output is piped.

    Rich itself honours NO_COLOR.
    """
    from rich.console import Console

    stream = sys.stderr if to_stderr else sys.stdout
    width = None if stream.isatty() else _PIPED_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, soft_wrap=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print aligned columns under their names in capitals."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column.upper(), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell or "-") for cell in row))
    terminal = console()
    with terminal.capture() as printed:
        terminal.print(table)
    # Rich fills the last column with spaces, which a program that reads lines would have to strip.
    for line in printed.get().splitlines():
        print_text(line.rstrip())


def as_plain(value: ApiModel) -> object:
    """Return an API object as plain data, in Kubernetes' spelling and without unset fields."""
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


def as_list(items: Iterable[ApiModel]) -> object:
    """Return API objects as Kubernetes' `List`, which `kubectl apply` takes."""
    return {"apiVersion": "v1", "kind": "List", "items": [as_plain(item) for item in items]}


def print_data(data: object, form: StrEnum) -> None:
    """Print plain data as YAML, or as JSON where the format says so."""
    print_text(json_text(data) if form.value == DataFormat.JSON else yaml_text(data))


def json_text(data: object) -> str:
    """Return data as indented JSON."""
    return json.dumps(data, indent=2, ensure_ascii=False)


def yaml_text(data: object) -> str:
    """Return data as YAML, in the order that it has."""
    text: str = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, indent=2
    )
    return text.rstrip("\n")


def print_text(text: str) -> None:
    """Print to standard output."""
    sys.stdout.write(text + "\n")


def print_fields(fields: Fields, indent: str = "") -> None:
    """Print labels and values, one a line, those left out that have no value."""
    known = [(label, value) for label, value in fields if value not in (None, "")]
    width = max((len(label) for label, _ in known), default=0) + 1
    for label, value in known:
        print_text(f"{indent}{label + ':':<{width}}  {value}")


def print_section(title: str, fields: Fields) -> None:
    """Print labels and values under a title, if there are any."""
    if any(value not in (None, "") for _, value in fields):
        print_text(f"\n{title}:")
        print_fields(fields, _INDENT)


def print_lines(title: str, lines: Iterable[str]) -> None:
    """Print lines under a title, if there are any."""
    shown = list(lines)
    if shown:
        print_text(f"\n{title}:")
        for line in shown:
            print_text(f"{_INDENT}{line}")


def print_conditions(conditions: Sequence[Condition]) -> None:
    """Print an object's conditions as a table, if there are any."""
    if not conditions:
        return
    print_text("\nConditions:")
    rows = [(c.type, c.status, c.reason, c.last_transition_time, c.message) for c in conditions]
    print_table(("type", "status", "reason", "since", "message"), rows)


def print_note(text: str) -> None:
    """Print something about the command itself, which a pipe should not carry."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and every value out in full."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
