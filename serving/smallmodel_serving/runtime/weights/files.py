"""Several remote files into one folder, of which some may be there from an earlier run."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from smallmodel_serving.runtime.weights.download import (
    Expected,
    Remote,
    Tools,
    check_room,
    download,
    partial_path,
)
from smallmodel_serving.runtime.weights.verify import VerifiedFile, sha256_of, stamped

_NEEDED: Final = re.compile(
    # The second form is what sentence-transformers adds, for example 1_Pooling/config.json.
    r"[^/]+\.(safetensors|json|model|txt|jinja)|\d+_[A-Za-z]+/config\.json"
)
_SECOND_COPY: Final = re.compile(r"consolidated.*\.safetensors")
"""Mistral publishes the same weights again under this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One file to fetch."""

    name: str
    """Path below the folder, with `/`."""
    remote: Remote
    expected: Expected


def needed_files(names: Iterable[str]) -> list[str]:
    """Return what serving needs of a folder with these files; nothing if it has no safetensors."""
    needed = sorted(name for name in names if _NEEDED.fullmatch(name))
    weights = [name for name in needed if name.endswith(".safetensors")]
    if not weights:
        return []
    second = {name for name in weights if _SECOND_COPY.fullmatch(name)}
    if len(second) < len(weights):
        return [name for name in needed if name not in second]
    return needed


def fetch_files(wanted: Sequence[Wanted], folder: Path, tools: Tools) -> tuple[VerifiedFile, ...]:
    """Fetch every file that is not there yet with the declared digest.

    Raises:
        WeightsError: As `download` does, for the first file that fails.
    """
    sizes = [file.expected.bytes for file in wanted]
    known = sum(size for size in sizes if size is not None)
    tools.meter.begin(known if None not in sizes else None)
    whole = folder / PurePosixPath(wanted[0].name).parts[0]
    check_room(whole, known - _already_there(wanted, folder), tools)
    return tuple(
        stamped(folder, file.name, _fetch_file(file, folder / file.name, tools)) for file in wanted
    )


def _fetch_file(file: Wanted, path: Path, tools: Tools) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    if file.expected.sha256 is not None and path.exists():
        found = sha256_of(path)
        if found == file.expected.sha256:
            tools.meter.resume(path.stat().st_size)
            return found
    return download(file.remote, path, file.expected, tools)


def _already_there(wanted: Sequence[Wanted], folder: Path) -> int:
    paths = [folder / file.name for file in wanted]
    present = [path for path in (*paths, *map(partial_path, paths)) if path.exists()]
    return sum(path.stat().st_size for path in present)
