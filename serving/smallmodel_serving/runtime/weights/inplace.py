"""Weights that lie where they can be read: checked and linked, never copied or deleted."""

from pathlib import Path

from smallmodel_serving.runtime.weights.download import (
    Expected,
    Tools,
    check_digest,
    check_size,
)
from smallmodel_serving.runtime.weights.errors import SourceNotSupported, SourceUnreachable
from smallmodel_serving.runtime.weights.sources import ClaimSource, LocalSource
from smallmodel_serving.runtime.weights.verify import VerifiedFile, sha256_of, stamped


def link_local(
    source: LocalSource, folder: Path, expected: Expected, tools: Tools
) -> tuple[VerifiedFile, ...]:
    """Compute the digests of a file or folder and put a link to it into `folder`.

    A symbolic link, because the weights may lie on another file system, and because a file that
    its owner moves away should be seen as missing.

    Raises:
        SourceUnreachable: It is not there or cannot be read.
        DigestMismatch: It is not the declared file.
        InvalidWeights: It has not the declared size.
        SourceNotSupported: A digest was declared for a folder, or the folder is empty.
    """
    try:
        return _link(source.path.resolve(strict=True), folder, source.name, expected, tools)
    except OSError as error:
        raise SourceUnreachable(
            f"{source.path} cannot be read ({error.strerror}); check the path and its permissions"
        ) from error


def link_claimed(
    source: ClaimSource, folder: Path, expected: Expected, tools: Tools
) -> tuple[VerifiedFile, ...]:
    """Compute the digests of a file or folder of a mounted volume and put a link into `folder`.

    The link is good wherever the claim is mounted at the same place.

    Raises:
        SourceUnreachable: The claim is not mounted, or what is named is not in it.
        SourceNotSupported: It leads out of the volume; or as `link_local` does.
        DigestMismatch: It is not the declared file.
        InvalidWeights: It has not the declared size.
    """
    root = tools.claims / source.claim
    if not root.is_dir():
        raise SourceUnreachable(
            f"pvc://{source.claim} is not mounted here at {root}; pvc:// names a volume of the "
            "model's namespace in a cluster. On one machine use file://"
        )
    try:
        path = (root / source.path).resolve(strict=True)
        for file in (path, *_files(path)):
            # Whoever may write to the volume must not point into the rest of the pod's files.
            if not file.resolve(strict=True).is_relative_to(root.resolve()):
                raise SourceNotSupported(
                    f"{file} is a link that leads out of the volume {source.claim}; put the file "
                    "itself there"
                )
        return _link(path, folder, source.name, expected, tools)
    except OSError as error:
        raise SourceUnreachable(
            f"{source.path} of the volume {source.claim} cannot be read ({error.strerror}); check "
            "the path, and that user 1000 may read it"
        ) from error


def _link(
    path: Path, folder: Path, name: str, expected: Expected, tools: Tools
) -> tuple[VerifiedFile, ...]:
    below = _files(path)
    if path.is_dir() and expected.sha256 is not None:
        raise SourceNotSupported(
            f"{path} is a folder, and a sha256 is of one file; name the file, or leave it out"
        )
    total = sum(file.stat().st_size for file in below)
    tools.meter.begin(total)
    if not path.is_dir():
        check_size(total, expected, str(path))
    digests = [sha256_of(file, tools.meter.advance) for file in below]
    check_digest(digests[0], expected, str(path), "it is not served")
    link = folder / name
    link.unlink(missing_ok=True)
    link.symlink_to(path)
    return tuple(
        stamped(folder, _name_in_cache(file, path, name), digest)
        for file, digest in zip(below, digests, strict=True)
    )


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    below = sorted(file for file in path.rglob("*") if file.is_file())
    if not below:
        raise SourceNotSupported(f"{path} has no files; name a folder with weights")
    return below


def _name_in_cache(file: Path, path: Path, name: str) -> str:
    return name if file == path else f"{name}/{file.relative_to(path).as_posix()}"
