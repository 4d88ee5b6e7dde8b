"""Images that are packed without an engine."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from cluster.archive import Image


@pytest.fixture
def image(tmp_path: Path) -> Image:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    return Image(
        name="localhost/tool:1",
        files={"/usr/bin/tool": program},
        links={"/bin/other": "../usr/bin/tool"},
        entrypoint=["/usr/bin/tool"],
        user="1000:1000",
    )


def members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {entry.name: content.read() for entry in tar if (content := tar.extractfile(entry))}


def test_the_manifest_leads_to_configuration_and_layer(image: Image, tmp_path: Path) -> None:
    image.write(tmp_path / "image.tar")
    files = members(tmp_path / "image.tar")
    (manifest,) = json.loads(files["manifest.json"])
    configuration = json.loads(files[manifest["Config"]])
    layer = files[manifest["Layers"][0]]
    assert manifest["RepoTags"] == ["localhost/tool:1"]
    assert manifest["Config"] == f"{hashlib.sha256(files[manifest['Config']]).hexdigest()}.json"
    assert configuration["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert configuration["config"]["Entrypoint"] == ["/usr/bin/tool"]
    assert configuration["config"]["User"] == "1000:1000"


def test_the_layer_has_files_links_and_their_folders(image: Image, tmp_path: Path) -> None:
    image.write(tmp_path / "image.tar")
    layer = next(
        content for name, content in members(tmp_path / "image.tar").items() if "/" in name
    )
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        entries = {entry.name: entry for entry in tar}
        assert list(entries) == ["bin", "usr", "usr/bin", "usr/bin/tool", "bin/other"]
        assert entries["usr/bin"].isdir()
        assert entries["usr/bin/tool"].mode == 0o755
        assert entries["bin/other"].linkname == "../usr/bin/tool"


def test_the_same_files_give_the_same_bytes(image: Image, tmp_path: Path) -> None:
    image.write(tmp_path / "one.tar")
    (tmp_path / "program").touch()
    image.write(tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
