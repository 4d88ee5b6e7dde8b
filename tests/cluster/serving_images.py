"""Builds the project's images as docker-archive files, from Debian's and Python's packages alone.

    PYTHONPATH=tests python -m cluster.serving_images OUTDIR [--operator] [--serving-cpu]

The Dockerfiles below `images/` are the ones that a registry's users build. The base image that
they start from is made here, since no registry may be at hand.
"""

import argparse
import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.commands import run
from cluster.debian import install_missing
from cluster.problems import ClusterProblem

REPOSITORY: Final = Path(__file__).resolve().parent.parent.parent
TAG: Final = "dev"
BASE: Final = "localhost/debian-base:bookworm"
PROGRAMS: Final = {"buildah": "buildah", "mmdebstrap": "mmdebstrap"}
"""What builds, with Debian's packages of it; installed when it is missing."""

_KEPT_ARCHIVES: Final = 3
"""Finished archives of one image that stay in the cache, 0.5 to 0.7 GB each."""
_KEPT_LAYERS: Final = 150
"""Images and layers in buildah's storage; beyond that it is thrown away and filled anew."""
_BUILD_SECONDS: Final = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecipe:
    """One image.

    Attributes:
        name: of the image, and of its folder.
        sources: the files and folders of the repository that its Dockerfile copies.
        folders: of the repository, where the image's own folder with its Dockerfile is.
    """

    name: str
    sources: tuple[str, ...]
    folders: str = "images"

    @property
    def reference(self) -> str:
        return f"localhost/smallmodel-{self.name}:{TAG}"

    @property
    def dockerfile(self) -> Path:
        """Below the repository's root."""
        return Path(self.folders) / self.name / "Dockerfile"

    @property
    def file_name(self) -> str:
        return f"smallmodel-{self.name}.tar"


OPERATOR: Final = ImageRecipe(
    name="operator",
    sources=("images/operator", "images/common", "operator/smallmodel_operator"),
)
SERVING_CPU: Final = ImageRecipe(
    name="serving-cpu",
    sources=(
        "images/serving-cpu",
        "images/common",
        "operator/smallmodel_operator/__init__.py",
        "operator/smallmodel_operator/api",
        "serving/smallmodel_serving",
    ),
)
TEST_STORE: Final = ImageRecipe(
    name="test-store",
    sources=("tests/cluster/dockerfiles/test-store",),
    folders="tests/cluster/dockerfiles",
)
"""A Redis for tests of fault tolerance."""
IMAGES: Final = (OPERATOR, SERVING_CPU)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build what was asked for, print the files' paths, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m cluster.serving_images", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("folder", type=Path, help="where the archives go")
    for image in IMAGES:
        parser.add_argument(f"--{image.name}", action="store_true", help=f"build {image.reference}")
    options = parser.parse_args(arguments)
    asked = [image for image in IMAGES if getattr(options, image.name.replace("-", "_"))]
    try:
        for path in build(asked or IMAGES, options.folder):
            sys.stdout.write(f"{path}\n")
    except ClusterProblem as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


def build(images: Sequence[ImageRecipe], folder: Path, cache: Path | None = None) -> list[Path]:
    """Build images, as far as they are not in the cache, and return their archives in `folder`.

    Args:
        images: which.
        folder: gets one file for each; made when missing.
        cache: where finished archives and layers stay; the user's cache folder by default.

    Raises:
        ClusterProblem: a program is missing, the user is not root, or a step failed.
    """
    kept = cache or default_cache()
    folder.mkdir(parents=True, exist_ok=True)
    return [_place(_archive(image, kept), folder) for image in images]


def default_cache() -> Path:
    """Return the folder for images below the user's cache folder."""
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user) / "smallmodel" / "cluster" / "images"


def cache_key(image: ImageRecipe, repository: Path = REPOSITORY) -> str:
    """Return a name for all that an image is made from: other bytes, another name."""
    hasher = hashlib.sha256(f"{image.reference}\0{BASE}\0".encode())
    for path in _files(image, repository):
        content = path.read_bytes()
        hasher.update(f"{path.relative_to(repository)}\0{len(content)}\0".encode())
        hasher.update(content)
    return hasher.hexdigest()[:16]


def stage(image: ImageRecipe, folder: Path, repository: Path = REPOSITORY) -> None:
    """Copy what an image is made from into an empty folder.

    Times and permissions are made the same, because buildah's cache of layers looks at them, and
    every clone has others.
    """
    for path in _files(image, repository):
        copy = folder / path.relative_to(repository)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (0, 0))


def pip_settings(environment: Mapping[str, str]) -> str:
    """Return a pip.conf that says what this machine's `PIP_*` variables say.

    What names a place on this machine is left out: it would mean another place in the image.
    """
    local = {"cert", "client_cert", "config_file", "find_links", "cache_dir", "target", "prefix"}
    lines = ["[global]"]
    for variable, value in sorted(environment.items()):
        name = variable.removeprefix("PIP_").lower()
        if variable.startswith("PIP_") and value and name not in local:
            lines.append(f"{name.replace('_', '-')} = {value}")
    if _authorities(environment):
        lines.append("cert = /run/secrets/ca.pem")
    return "\n".join(lines) + "\n"


def _authorities(environment: Mapping[str, str]) -> Path | None:
    """Return this machine's bundle of certificate authorities, which may hold one of its own."""
    for variable in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        if environment.get(variable):
            return Path(environment[variable])
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    return bundle if bundle.exists() else None


def _files(image: ImageRecipe, repository: Path) -> Iterator[Path]:
    found: set[Path] = set()
    for source in image.sources:
        path = repository / source
        if not path.exists():
            raise ClusterProblem(f"{path}, of which {image.reference} is made, is not there")
        found |= {path} if path.is_file() else {one for one in path.rglob("*") if one.is_file()}
    return iter(sorted(path for path in found if "__pycache__" not in path.parts))


def _archive(image: ImageRecipe, cache: Path) -> Path:
    path = cache / cache_key(image) / image.file_name
    if path.exists():
        # Its time says when it was used last, for `_forget_old`.
        os.utime(path.parent)
        return path
    _prepare_machine()
    with _alone(cache):
        builder = _Builder(cache)
        builder.prepare()
        builder.build(image, path)
        _forget_old(image, cache)
    return path


@contextlib.contextmanager
def _alone(cache: Path) -> Iterator[None]:
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _prepare_machine() -> None:
    if os.geteuid() != 0:
        raise ClusterProblem("Images are built as root here; run this as root (sudo -E)")
    install_missing(lambda text: print(text, file=sys.stderr), PROGRAMS)  # noqa: T201 - progress


class _Builder:
    """buildah, with a storage of its own that leaves the machine's alone."""

    def __init__(self, cache: Path) -> None:
        self._work = cache / "buildah"
        self._storage = self._work / "storage"

    def prepare(self) -> None:
        """Make the storage and the base image, as far as they are not there."""
        self._work.mkdir(parents=True, exist_ok=True)
        if len(self._buildah("images", "--all", "--quiet").split()) > _KEPT_LAYERS:
            self._buildah("rmi", "--all", "--force", within=300)
        names = self._buildah("images", "--format", "{{.Name}}:{{.Tag}}").split()
        if BASE not in names:
            self._make_base()

    def build(self, image: ImageRecipe, archive: Path) -> None:
        """Build one image and write it as a docker-archive."""
        context, secrets = self._work / "context", self._work / "secrets"
        for folder in (context, secrets):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
        try:
            stage(image, context)
            self._buildah(
                "build", "--layers", "--pull-never", "--isolation", "chroot",
                "--build-arg", f"BASE_IMAGE={BASE}",
                *self._secrets(secrets),
                "--file", context / image.dockerfile,
                "--tag", image.reference, context,
                within=_BUILD_SECONDS,
            )  # fmt: skip
        finally:
            shutil.rmtree(context)
            shutil.rmtree(secrets)
        archive.parent.mkdir(parents=True, exist_ok=True)
        partial = archive.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        target = f"docker-archive:{partial}:{image.reference}"
        self._buildah("push", "--quiet", image.reference, target, within=600)
        partial.replace(archive)

    def _secrets(self, folder: Path) -> Iterator[str | Path]:
        settings = folder / "pip.conf"
        settings.write_text(pip_settings(os.environ))
        yield from ("--secret", f"id=pip.conf,src={settings}")
        bundle = _authorities(os.environ)
        if bundle is not None:
            yield from ("--secret", f"id=ca.pem,src={bundle}")

    def _make_base(self) -> None:
        packed = self._work / "base.tar"
        run("mmdebstrap", "--quiet", "--variant=minbase", "bookworm", packed, within=600)
        container = self._buildah("from", "scratch").strip()
        self._buildah("add", "--quiet", container, packed, "/", within=300)
        self._buildah("commit", "--quiet", "--rm", container, BASE, within=300)
        packed.unlink()

    def _buildah(self, *words: str | Path, within: float = 120) -> str:
        return run(
            "buildah",
            "--root", self._storage,
            "--runroot", self._work / "run",
            "--storage-driver", "overlay",
            "--storage-opt", "overlay.skip_mount_home=true",
            *words,
            within=within,
        )  # fmt: skip


def _place(archive: Path, folder: Path) -> Path:
    placed = folder / archive.name
    placed.unlink(missing_ok=True)
    try:
        os.link(archive, placed)
    except OSError:
        # Another file system.
        shutil.copyfile(archive, placed)
    return placed


def _forget_old(image: ImageRecipe, cache: Path) -> None:
    archives = sorted(
        cache.glob(f"*/{image.file_name}"), key=lambda path: path.parent.stat().st_mtime
    )
    for path in archives[:-_KEPT_ARCHIVES]:
        shutil.rmtree(path.parent)


if __name__ == "__main__":
    sys.exit(main())
