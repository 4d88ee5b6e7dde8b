"""Files of a mounted volume: checked and linked where they lie, and never from outside it."""

from pathlib import Path
from typing import Any

import pytest

from smallmodel_serving.runtime.weights.download import Tools
from smallmodel_serving.runtime.weights.errors import (
    DigestMismatch,
    SourceNotSupported,
    SourceUnreachable,
    WeightsError,
)
from smallmodel_serving.runtime.weights.verify import open_verified
from support.fetching import files_below, get, sha256
from support.gguf_files import gguf_bytes, safetensors_bytes


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    made = tmp_path / "pvc" / "models"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def using(volume: Path) -> Tools:
    return Tools(claims=volume.parent)


@pytest.fixture
def weights(tmp_path: Path) -> bytes:
    return gguf_bytes(tmp_path)


def test_a_file_of_a_volume_is_linked_where_it_lies(
    volume: Path, using: Tools, weights: bytes, tmp_path: Path
) -> None:
    (volume / "tiny.gguf").write_bytes(weights)

    done = get("pvc://models/tiny.gguf", tmp_path, using, sha256=sha256(weights))

    assert Path(done.path).is_symlink()
    assert Path(done.path).resolve() == volume / "tiny.gguf"
    assert done.gguf is not None
    open_verified(Path(done.path), sha256(weights))


def test_a_folder_of_a_volume_is_linked(volume: Path, using: Tools, tmp_path: Path) -> None:
    (volume / "m").mkdir()
    (volume / "m" / "model.safetensors").write_bytes(safetensors_bytes())

    assert files_below(get("pvc://models/m", tmp_path, using)) == ["model.safetensors"]


def test_a_file_with_another_digest_is_refused_and_kept(
    volume: Path, using: Tools, weights: bytes, tmp_path: Path
) -> None:
    (volume / "tiny.gguf").write_bytes(weights)

    with pytest.raises(DigestMismatch, match="it is not served"):
        get("pvc://models/tiny.gguf", tmp_path, using, sha256="0" * 64)

    assert (volume / "tiny.gguf").read_bytes() == weights


def test_a_link_inside_the_volume_is_followed(
    volume: Path, using: Tools, weights: bytes, tmp_path: Path
) -> None:
    (volume / "blob").write_bytes(weights)
    (volume / "tiny.gguf").symlink_to("blob")

    assert get("pvc://models/tiny.gguf", tmp_path, using).sha256 == sha256(weights)


@pytest.mark.parametrize("name", ["stolen.gguf", "folder"])
def test_a_link_out_of_the_volume_is_refused(
    volume: Path, using: Tools, tmp_path: Path, name: str
) -> None:
    secret = tmp_path / "token"
    secret.write_text("secret")
    (volume / "stolen.gguf").symlink_to(secret)
    (volume / "folder").mkdir()
    (volume / "folder" / "config.json").symlink_to(secret)

    with pytest.raises(SourceNotSupported, match="leads out of the volume models"):
        get(f"pvc://models/{name}", tmp_path, using)


@pytest.mark.parametrize(
    ("uri", "declared", "error", "says"),
    [
        ("pvc://absent/m.gguf", {}, SourceUnreachable, "is not mounted here"),
        ("pvc://models/absent.gguf", {}, SourceUnreachable, "No such file"),
        ("pvc://models/empty", {}, SourceNotSupported, "has no files"),
    ],
)
def test_what_cannot_be_linked_is_named(
    volume: Path,
    using: Tools,
    tmp_path: Path,
    uri: str,
    declared: dict[str, Any],
    error: type[WeightsError],
    says: str,
) -> None:
    (volume / "empty").mkdir()

    with pytest.raises(error, match=says):
        get(uri, tmp_path, using, **declared)
