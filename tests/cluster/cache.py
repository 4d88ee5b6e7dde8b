"""Programs that are built or unpacked once and kept in the user's cache folder."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from cluster.locks import locked


def cache_folder() -> Path:
    """Return the folder for everything that clusters are made of."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "smallmodel" / "cluster"


def digest(parts: Iterable[bytes | str]) -> str:
    """Return a short digest of what goes into a cached folder."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        # With its length, so that two parts cannot pass for one.
        total.update(f"{len(data)}:".encode() + data)
    return total.hexdigest()[:16]


def cached(name: str, key: str, fill: Callable[[Path], None]) -> Path:
    """Return the folder for that name and key, filled once.

    Args:
        name: for people.
        key: a digest of all that goes in.
        fill: writes the content into an empty folder. Nobody sees it before it is whole.
    """
    root = cache_folder()
    folder = root / f"{name}-{key}"
    if folder.exists():
        return folder
    with locked(root / f".{name}.lock", f"the cache of {name}", within=3600):
        if not folder.exists():
            partial = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=root))
            try:
                partial.chmod(0o755)
                fill(partial)
                partial.rename(folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return folder
