"""What a replica checks before it opens weights."""

import os
from pathlib import Path

import pytest

from smallmodel_serving.runtime.weights.download import Tools
from smallmodel_serving.runtime.weights.errors import WeightsMissing
from smallmodel_serving.runtime.weights.store import FetchRequest, fetch
from smallmodel_serving.runtime.weights.verify import MARKER_NAME, open_verified
from support.gguf_files import gguf_bytes, safetensors_bytes


@pytest.fixture
def owned(tmp_path: Path) -> Path:
    """A file of the user's, outside the cache."""
    path = tmp_path / "home" / "model.gguf"
    path.parent.mkdir()
    path.write_bytes(gguf_bytes(tmp_path))
    return path


def fetched(path: Path, cache: Path) -> tuple[Path, str | None]:
    done = fetch(FetchRequest(uri=f"file://{path}"), cache, Tools())
    return Path(done.path), done.sha256


def test_what_was_fetched_opens_with_and_without_its_digest(owned: Path, tmp_path: Path) -> None:
    path, sha256 = fetched(owned, tmp_path / "cache")

    open_verified(path, sha256)
    open_verified(path, None)


def test_a_touched_file_opens_after_it_was_read_again(owned: Path, tmp_path: Path) -> None:
    path, sha256 = fetched(owned, tmp_path / "cache")
    os.utime(owned, ns=(1, 1))

    open_verified(path, sha256)


def test_changed_bytes_do_not_open(owned: Path, tmp_path: Path) -> None:
    path, sha256 = fetched(owned, tmp_path / "cache")
    owned.write_bytes(owned.read_bytes()[:-1] + b"x")
    os.utime(owned, ns=(1, 1))

    with pytest.raises(WeightsMissing, match="was verified with"):
        open_verified(path, sha256)


def test_a_file_that_its_owner_moved_away_does_not_open(owned: Path, tmp_path: Path) -> None:
    path, sha256 = fetched(owned, tmp_path / "cache")
    owned.unlink()

    with pytest.raises(WeightsMissing, match="No such file"):
        open_verified(path, sha256)


def test_another_digest_does_not_open(owned: Path, tmp_path: Path) -> None:
    path, _ = fetched(owned, tmp_path / "cache")

    with pytest.raises(WeightsMissing, match="the model needs 0000"):
        open_verified(path, "0" * 64)


@pytest.mark.parametrize("marker", [None, "", "{}"], ids=["absent", "empty", "of another kind"])
def test_a_file_without_a_readable_marker_does_not_open(
    owned: Path, tmp_path: Path, marker: str | None
) -> None:
    path, sha256 = fetched(owned, tmp_path / "cache")
    (path.parent / MARKER_NAME).unlink()
    if marker is not None:
        (path.parent / MARKER_NAME).write_text(marker)

    with pytest.raises(WeightsMissing, match="no record of a verified download"):
        open_verified(path, sha256)


def test_another_file_beside_the_marker_does_not_open(owned: Path, tmp_path: Path) -> None:
    path, _ = fetched(owned, tmp_path / "cache")
    beside = path.with_name("model.gg")
    beside.write_bytes(owned.read_bytes())

    with pytest.raises(WeightsMissing, match="no record of a verified download"):
        open_verified(beside, None)


def test_a_folder_opens_until_one_of_its_files_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "model"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(safetensors_bytes())
    (folder / "config.json").write_text("{}")
    path, _ = fetched(folder, tmp_path / "cache")
    open_verified(path, None)

    (folder / "config.json").unlink()

    with pytest.raises(WeightsMissing, match=r"config\.json"):
        open_verified(path, None)
