"""Container images without an engine: a docker-archive file, written by the standard library."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

# The names that Go, and so every image format, has for what uname says.
ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image of one layer.

    Attributes:
        name: with its tag, as pods name it.
        files: where each file goes in the image, and where it is taken from.
        links: symbolic links and what they point to.
        entrypoint: the command.
        user: `uid` or `uid:gid`.
    """

    name: str
    files: Mapping[str, Path]
    links: Mapping[str, str] = field(default_factory=dict)
    entrypoint: Sequence[str] = ()
    user: str = "0:0"

    def write(self, archive: Path) -> None:
        """Write the image; the same files give the same bytes."""
        layer = self._layer()
        digest = hashlib.sha256(layer).hexdigest()
        configuration = json.dumps(self._configuration(digest), sort_keys=True).encode()
        configuration_file = f"{hashlib.sha256(configuration).hexdigest()}.json"
        manifest = {
            "Config": configuration_file,
            "RepoTags": [self.name],
            "Layers": [f"{digest}/layer.tar"],
        }
        with tarfile.open(archive, "w") as tar:
            for name, content in (
                (configuration_file, configuration),
                (f"{digest}/layer.tar", layer),
                ("manifest.json", json.dumps([manifest]).encode()),
            ):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))

    def _layer(self) -> bytes:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for folder in self._folders():
                entry = _entry(folder, tarfile.DIRTYPE, 0o755)
                tar.addfile(entry)
            for target, source in sorted(self.files.items()):
                entry = _entry(target, tarfile.REGTYPE, source.stat().st_mode & 0o777)
                entry.size = source.stat().st_size
                with source.open("rb") as content:
                    tar.addfile(entry, content)
            for link, target in sorted(self.links.items()):
                entry = _entry(link, tarfile.SYMTYPE, 0o777)
                entry.linkname = target
                tar.addfile(entry)
        return packed.getvalue()

    def _folders(self) -> list[str]:
        found = {
            str(folder).lstrip("/")
            for path in [*self.files, *self.links]
            for folder in Path(path).parents
        }
        return sorted(found - {"", "."})

    def _configuration(self, digest: str) -> dict[str, object]:
        machine = platform.machine()
        return {
            "architecture": ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "config": {
                "Entrypoint": list(self.entrypoint) or None,
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "User": self.user,
                "WorkingDir": "/",
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }


def _entry(path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.type = kind
    entry.mode = mode
    return entry
