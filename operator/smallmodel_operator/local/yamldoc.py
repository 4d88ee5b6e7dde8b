"""YAML text becomes plain values that remember their lines.

PyYAML alone keeps the last of two equal keys, gives up a whole file at its first broken document,
and turns `2026-01-01` into a date. None of this is what a Kubernetes API server does, so the node
tree is read here. Text in, values out: this module opens no files.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import yaml

Location = Sequence[str | int]

# A line that starts with `---` ends the document before it wherever it stands, even inside a
# quoted or block scalar (YAML 1.2, 9.1.4), so text can be cut there before it is parsed.
_DOCUMENT_START: Final = re.compile(r"^(?:%.*\n)*---(?=\s|$)", re.MULTILINE)
_PLAIN_TAGS: Final = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}
_MERGE_TAG: Final = "tag:yaml.org,2002:merge"
_TIMESTAMP_TAG: Final = "tag:yaml.org,2002:timestamp"
_DEEPEST: Final = 50
_MOST_NODES: Final = 100_000
"""What aliases may unfold to; the largest card of the catalogue has about 300."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One YAML document: its values, and the node tree that knows their lines."""

    data: object
    """Mappings, lists and scalars as JSON has them. Keys without a value are left out."""
    root: yaml.Node
    first_line: int
    """Lines of the file before the text that `root` was read from."""

    def line_of(self, location: Location) -> int:
        """Return the line of a field, counted from 1, or of its nearest parent that exists."""
        node, mark = self.root, self.root.start_mark
        for part in location:
            step = _child(node, part)
            if step is None:
                break
            node, mark = step
        return self.first_line + mark.line + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenDocument:
    """One reason why a document cannot be read."""

    line: int
    field: str
    message: str


class _Loader(yaml.CSafeLoader):
    """The safe loader of libyaml, with dates left as the text that was written."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != _TIMESTAMP_TAG]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def read_documents(text: str) -> Iterator[Document | BrokenDocument]:
    """Yield the documents of a YAML text in order; empty ones are skipped.

    A document that is not YAML is one `BrokenDocument`, and those after it are still read.
    """
    for first_line, chunk in _chunks(text):
        loader = _Loader(chunk)
        try:
            while loader.check_node() and (root := loader.get_node()):
                yield from _read(loader, root, first_line)
        except yaml.YAMLError as error:
            yield _syntax_problem(error, chunk, first_line)
        finally:
            loader.dispose()


def dotted(location: Location) -> str:
    """Return a location as people write it: `spec.variants[2].name`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _chunks(text: str) -> Iterator[tuple[int, str]]:
    starts = [0, *(match.start() for match in _DOCUMENT_START.finditer(text)), len(text)]
    first_line = 0
    for start, end in itertools.pairwise(starts):
        chunk = text[start:end]
        yield first_line, chunk
        first_line += chunk.count("\n")


def _read(loader: _Loader, root: yaml.Node, first_line: int) -> Iterator[Document | BrokenDocument]:
    builder = _Builder(loader, first_line)
    data = builder.build(root, ())
    if builder.problems:
        yield from builder.problems
    elif data is not None:
        yield Document(data=data, root=root, first_line=first_line)


@dataclass(slots=True)
class _Builder:
    """Turns nodes into values and collects what is wrong with them."""

    loader: _Loader
    first_line: int
    problems: list[BrokenDocument] = field(default_factory=list)
    built: dict[int, object] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    unfinished: set[int] = field(default_factory=set)

    def build(self, node: yaml.Node, at: tuple[str | int, ...]) -> object:
        """Return the value of a node. Aliased nodes are built once and counted each time."""
        if id(node) in self.built:
            return self.built[id(node)]
        if id(node) in self.unfinished:
            return self._refuse(node, at, "an alias refers to what it is part of")
        if len(at) > _DEEPEST:
            return self._refuse(node, at[:3], f"nested deeper than {_DEEPEST} levels")
        self.unfinished.add(id(node))
        value = self._value(node, at)
        self.unfinished.remove(id(node))
        self.sizes[id(node)] = 1 + sum(self.sizes.get(id(child), 0) for child in _children(node))
        self.built[id(node)] = value
        if self.sizes[id(node)] > _MOST_NODES and not self.problems:
            self._refuse(node, at, f"aliases unfold to more than {_MOST_NODES} values")
        return value

    def _value(self, node: yaml.Node, at: tuple[str | int, ...]) -> object:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, at)
        if node.tag not in _PLAIN_TAGS:
            return self._refuse(
                node, at, f"the tag {_short(node.tag)} has no meaning here; remove it"
            )
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, at)
        return [self.build(child, (*at, index)) for index, child in enumerate(_children(node))]

    def _scalar(self, node: yaml.ScalarNode, at: tuple[str | int, ...]) -> object:
        try:
            value: object = self.loader.construct_object(node)
        except ValueError:
            return self._refuse(node, at, f"{node.value[:40]!r} is not a {_short(node.tag)}")
        if value is None or isinstance(value, str | int | float):
            return value
        return self._refuse(node, at, f"the tag {_short(node.tag)} has no meaning here; remove it")

    def _mapping(self, node: yaml.MappingNode, at: tuple[str | int, ...]) -> object:
        first_seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._refuse(key, at, "a field's name must be a word, not a list or a mapping")
            elif key.value in first_seen:
                self._refuse(
                    key,
                    (*at, key.value),
                    f"the field is given twice, first in line {first_seen[key.value]}; remove one",
                )
            else:
                first_seen[key.value] = self.first_line + key.start_mark.line + 1
        if any(key.tag == _MERGE_TAG for key, _ in node.value):
            # Puts merged pairs before the mapping's own, which then win below.
            self.loader.flatten_mapping(node)
        values = {
            key.value: self.build(child, (*at, key.value))
            for key, child in node.value
            if isinstance(key, yaml.ScalarNode)
        }
        # An API server prunes nulls before it fills in defaults; so an empty `scaling:` is fine.
        return {key: value for key, value in values.items() if value is not None}

    def _refuse(self, node: yaml.Node, at: Location, message: str) -> object:
        line = self.first_line + node.start_mark.line + 1
        self.problems.append(BrokenDocument(line=line, field=dotted(at), message=message))
        return None


def _short(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for _, child in node.value]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _child(node: yaml.Node, part: str | int) -> tuple[yaml.Node, yaml.Mark] | None:
    """Return the node under a key or index, and where that key or item starts."""
    if isinstance(node, yaml.MappingNode):
        # The last one wins, as in _mapping, where a merge put a key before the node's own.
        for key, value in reversed(node.value):
            if key.value == part:
                return value, key.start_mark
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part].start_mark
    return None


def _syntax_problem(error: yaml.YAMLError, chunk: str, first_line: int) -> BrokenDocument:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        line = error.problem_mark.line
        what = error.problem or "unreadable"
    else:
        # libyaml's reader reports a position instead of a mark.
        position = getattr(error, "position", 0)
        line = chunk.count("\n", 0, position if isinstance(position, int) else 0)
        what = str(getattr(error, "reason", error))
    lines = chunk.splitlines()
    hint = ""
    if line < len(lines) and lines[line].startswith("\t"):
        hint = "; YAML is indented with spaces, and this line starts with a tab"
    return BrokenDocument(
        line=first_line + line + 1, field="", message=f"this is not valid YAML: {what}{hint}"
    )
