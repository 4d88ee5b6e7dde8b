"""Weights inside the layers of a container image: fetched as they are, and the files taken out."""

import hashlib
import os
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from smallmodel_serving.runtime.weights.download import (
    Expected,
    Tools,
    check_digest,
    check_room,
    check_size,
)
from smallmodel_serving.runtime.weights.errors import InvalidWeights, SourceNotSupported
from smallmodel_serving.runtime.weights.files import Wanted, fetch_files, needed_files
from smallmodel_serving.runtime.weights.sources import OciSource, safe_member
from smallmodel_serving.runtime.weights.verify import VerifiedFile, stamped

_BLOCK: Final = 1 << 20


def fetch_from_layers(
    source: OciSource, layers: Sequence[Wanted], folder: Path, expected: Expected, tools: Tools
) -> tuple[VerifiedFile, ...]:
    """Fetch all layers, keep the one GGUF file or the folder of safetensors in them.

    Raises:
        SourceNotSupported: There are no weights, several GGUF files, or a digest for a folder.
        DigestMismatch: A layer or the file has another digest than declared.
        InvalidWeights: A layer is damaged.
        DiskFull: Layers and files do not fit.
    """
    if not layers:
        raise _nothing(source)
    paths = [folder / layer.name for layer in layers]
    try:
        fetch_files(layers, folder, tools)
        return _unpack(source, paths, folder, expected, tools)
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        why = str(error).partition("\n")[0]
        raise InvalidWeights(f"a layer of {source.shown} is damaged ({why})") from error
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def several_gguf(source: OciSource, names: Iterable[str]) -> SourceNotSupported:
    """Return the error of several GGUF files of which none is named."""
    return SourceNotSupported(
        f"{source.shown} has several GGUF files ({', '.join(sorted(names))}), and one is served; "
        "publish each under a tag of its own"
    )


def _unpack(
    source: OciSource, layers: Sequence[Path], folder: Path, expected: Expected, tools: Tools
) -> tuple[VerifiedFile, ...]:
    where = {name: layer for layer in layers for name in _names(layer)}
    chosen = _chosen(source, where, expected)
    files = []
    for layer in layers:
        inside = {name: kept for name, kept in chosen.items() if where[name] == layer}
        if not inside:
            continue
        with tarfile.open(layer) as archive:
            for member in archive:
                kept = inside.get(_clean(member.name))
                if kept is None or not member.isfile():
                    continue
                check_room(folder / source.name, member.size, tools)
                if "/" not in kept:
                    check_size(member.size, expected, member.name)
                digest = _extract(archive, member, folder / kept)
                if "/" not in kept:
                    _check(digest, folder / kept, member.name, expected)
                files.append(stamped(folder, kept, digest))
    return tuple(sorted(files, key=lambda file: file.name))


def _check(digest: str, path: Path, shown: str, expected: Expected) -> None:
    if expected.sha256 not in (None, digest):
        path.unlink()
        check_digest(digest, expected, shown, "it was deleted")


def _names(layer: Path) -> Iterator[str]:
    with tarfile.open(layer) as archive:
        yield from (_clean(member.name) for member in archive if member.isfile())


def _clean(name: str) -> str:
    return str(PurePosixPath("/") / name).lstrip("/")


def _chosen(source: OciSource, where: Mapping[str, Path], expected: Expected) -> dict[str, str]:
    """Return the members to keep, each with its name in the cache."""
    gguf = [name for name in where if name.lower().endswith(".gguf")]
    if len(gguf) > 1:
        raise several_gguf(source, gguf)
    if gguf:
        return {gguf[0]: f"{source.name}.gguf"}
    folders = sorted({str(PurePosixPath(name).parent) for name in where if _is_weights(name)})
    if not folders:
        raise _nothing(source)
    if expected.sha256 is not None:
        raise SourceNotSupported(
            f"{source.shown} holds a folder of files, and a sha256 is of one; name the image by "
            "its digest instead (…@sha256:…), which holds for all of them"
        )
    top = "" if folders[0] == "." else f"{folders[0]}/"
    below = [name.removeprefix(top) for name in where if name.startswith(top)]
    return {f"{top}{name}": safe_member(f"{source.name}/{name}") for name in needed_files(below)}


def _is_weights(name: str) -> bool:
    return name.endswith(".safetensors")


def _nothing(source: OciSource) -> SourceNotSupported:
    return SourceNotSupported(
        f"{source.shown} has neither a GGUF file nor safetensors; publish the weights as a layer "
        "with the annotation org.opencontainers.image.title, or in an image"
    )


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    hasher = hashlib.sha256()
    packed = archive.extractfile(member)
    if packed is None:
        raise AssertionError("only regular files are extracted")
    with packed, partial.open("wb") as file:
        while block := packed.read(_BLOCK):
            hasher.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return hasher.hexdigest()
