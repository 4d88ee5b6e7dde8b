"""Manifests become what they declare, or problems that name file, line and field.

`parse` and `without_duplicates` are pure; `read_manifests` opens files. One broken document never
hides the good ones beside it.
"""

import difflib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from smallmodel_operator.api.datasource import DataSource
from smallmodel_operator.api.modelcard import ModelCard
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.names import API_VERSION
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.schema import fields_at
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.local.explain import explain
from smallmodel_operator.local.yamldoc import BrokenDocument, Document, dotted, read_documents

Declared = SmallModel | ModelCard | ModelCluster | DataSource
Kinds = Mapping[str, type[Declared]]

KINDS: Final[Kinds] = {"SmallModel": SmallModel, "ModelCard": ModelCard}
"""What a machine serves."""
ALL_KINDS: Final[Kinds] = {**KINDS, "ModelCluster": ModelCluster, "DataSource": DataSource}
"""What people write."""
_SUFFIXES: Final = (".yaml", ".yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One object, and where it was written."""

    file: str
    line: int
    object: Declared


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a manifest."""

    file: str
    line: int
    """Counted from 1; 0 where the file as a whole is meant."""
    field: str
    """As in `spec.scaling.maxReplicas`; empty where the document as a whole is meant."""
    message: str
    """The value, the rule and the next step."""
    reason: Reason = Reason.INVALID_MANIFEST

    def __str__(self) -> str:
        """Return one line as compilers print it, which editors can jump to."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return (
            f"{place}: {self.field}: {self.message}" if self.field else f"{place}: {self.message}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestSet:
    """All that was read, in the order of reading."""

    manifests: tuple[Manifest, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def models(self) -> tuple[SmallModel, ...]:
        """The SmallModels."""
        return tuple(m.object for m in self.manifests if isinstance(m.object, SmallModel))

    @property
    def cards(self) -> tuple[ModelCard, ...]:
        """The ModelCards."""
        return tuple(m.object for m in self.manifests if isinstance(m.object, ModelCard))


def parse(text: str, file: str, kinds: Kinds = KINDS) -> tuple[Manifest | Problem, ...]:
    """Return the objects and the problems of a text that may hold several YAML documents.

    Args:
        text: The content of the file.
        file: Its name as the user gave it, which every result repeats.
        kinds: Those that it may have.
    """
    results: list[Manifest | Problem] = []
    for document in read_documents(text):
        if isinstance(document, BrokenDocument):
            results.append(
                Problem(
                    file=file, line=document.line, field=document.field, message=document.message
                )
            )
        else:
            results.extend(_validate(document, file, kinds))
    return tuple(results)


def without_duplicates(
    manifests: Iterable[Manifest],
) -> tuple[tuple[Manifest, ...], tuple[Problem, ...]]:
    """Return the first manifest of each kind and name, and a problem for each further one.

    On one machine every model answers under its name alone, so namespaces do not tell two apart;
    data of two namespaces is two.
    """
    first: dict[tuple[str, str, str], Manifest] = {}
    problems: list[Problem] = []
    for manifest in manifests:
        kind, metadata = manifest.object.kind, manifest.object.metadata
        name, space = metadata.name, metadata.namespace if kind == "DataSource" else ""
        earlier = first.setdefault((kind, space, name), manifest)
        if earlier is not manifest:
            problems.append(
                Problem(
                    file=manifest.file,
                    line=manifest.line,
                    field="metadata.name",
                    message=f"the {kind} {name!r} is already declared in {earlier.file}:"
                    f"{earlier.line}, which is used; rename or delete one of them",
                    reason=Reason.DUPLICATE_NAME,
                )
            )
    return tuple(first.values()), tuple(problems)


def read_manifests(paths: Sequence[Path], kinds: Kinds = KINDS) -> ManifestSet:
    """Read files, and the *.yaml and *.yml files of folders, sorted by name.

    What cannot be read is a problem in the result; nothing is raised. A file that is reached twice
    is read once.
    """
    results: list[Manifest | Problem] = []
    seen: set[str] = set()
    for path in paths:
        for entry in _expand(path):
            if isinstance(entry, Problem):
                results.append(entry)
                continue
            # Path.resolve raises on a symbolic link to itself; realpath leaves that to the read.
            real_path = os.path.realpath(entry)
            if real_path not in seen:
                seen.add(real_path)
                results.extend(_parse_file(entry, kinds))
    manifests, duplicates = without_duplicates(r for r in results if isinstance(r, Manifest))
    problems = [r for r in results if isinstance(r, Problem)]
    return ManifestSet(manifests=manifests, problems=(*problems, *duplicates))


def read_texts(path: Path) -> Iterator[tuple[str, str | Problem]]:
    """Yield the name and the text of a file, or of each file of a folder, or why it has none."""
    for entry in _expand(path):
        if isinstance(entry, Problem):
            yield entry.file, entry
        else:
            yield str(entry), _read_text(entry)


def _validate(document: Document, file: str, kinds: Kinds) -> Iterator[Manifest | Problem]:
    def problem(message: str, *location: str | int) -> Problem:
        line = document.line_of(location)
        return Problem(file=file, line=line, field=dotted(location), message=message)

    data = document.data
    if not isinstance(data, dict):
        yield problem("a manifest is a mapping that starts with apiVersion, kind and metadata")
        return
    kind = data.get("kind")
    model = kinds.get(kind) if isinstance(kind, str) else None
    if model is None:
        yield problem(_wrong_kind(kind, kinds), "kind")
        return
    if data.get("apiVersion") != API_VERSION:
        given = repr(data["apiVersion"]) if "apiVersion" in data else "not set"
        yield problem(f"apiVersion is {given}; write `apiVersion: {API_VERSION}`", "apiVersion")
        return
    # An object that was read back from a cluster has a status. It is not the user's to say.
    wanted = {key: value for key, value in data.items() if key != "status"}
    try:
        # JSON in strict mode has the API server's rules: "3" and true are no numbers.
        parsed = model.model_validate_json(
            json.dumps(wanted), strict=True, by_alias=True, by_name=False
        )
    except ValidationError as error:
        problems = [
            problem(explain(detail, fields_at(model, detail["loc"][:-1])), *detail["loc"])
            for detail in error.errors(include_url=False)
        ]
        yield from sorted(problems, key=lambda found: found.line)
    else:
        yield Manifest(file=file, line=document.line_of(()), object=parsed)


def _wrong_kind(kind: object, kinds: Kinds) -> str:
    known = " or ".join(kinds)
    if kind is None:
        return f"kind is not set; write `kind: {known}`"
    near = difflib.get_close_matches(str(kind), kinds, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"the kind {kind!r} is not served here, only {known}{hint}"


def _expand(path: Path) -> Iterator[Path | Problem]:
    try:
        if not path.is_dir():
            yield path
            return
        files = sorted(f for f in path.iterdir() if f.suffix in _SUFFIXES and f.is_file())
    except OSError as error:
        yield _unreadable(path, error)
        return
    if not files:
        yield Problem(file=str(path), line=0, field="", message="no *.yaml or *.yml file in here")
    yield from files


def _parse_file(path: Path, kinds: Kinds) -> tuple[Manifest | Problem, ...]:
    text = _read_text(path)
    return (text,) if isinstance(text, Problem) else parse(text, str(path), kinds)


def _read_text(path: Path) -> str | Problem:
    try:
        content = path.read_bytes()
    except OSError as error:
        return _unreadable(path, error)
    try:
        # Editors of other systems start a file with a byte order mark, which `utf-8-sig` drops.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"byte {error.start} is not UTF-8; save the file as UTF-8"
        return Problem(file=str(path), line=line, field="", message=message)


def _unreadable(path: Path, error: OSError) -> Problem:
    why = error.strerror or type(error).__name__
    return Problem(file=str(path), line=0, field="", message=f"cannot be read: {why}")
