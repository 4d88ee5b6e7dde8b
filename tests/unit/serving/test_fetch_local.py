"""Files of this machine: linked into the cache, never copied, never deleted."""

from pathlib import Path
from typing import Any

import pytest

from smallmodel_serving.runtime.weights.errors import (
    DigestMismatch,
    InvalidWeights,
    SourceNotSupported,
    SourceUnreachable,
)
from support.fetching import get, sha256
from support.gguf_files import gguf_bytes


@pytest.fixture
def weights(tmp_path: Path) -> bytes:
    return gguf_bytes(tmp_path, tensor_rows=4096)


def test_a_local_file_is_linked_and_left_alone(weights: bytes, tmp_path: Path) -> None:
    owned = tmp_path / "mine.gguf"
    owned.write_bytes(weights)

    done = get(f"file://{owned}", tmp_path, sha256=sha256(weights))

    assert Path(done.path).resolve() == owned
    assert Path(done.path).is_symlink()
    assert done.gguf is not None


def test_a_local_file_with_another_digest_is_refused_and_kept(
    weights: bytes, tmp_path: Path
) -> None:
    owned = tmp_path / "mine.gguf"
    owned.write_bytes(weights)

    with pytest.raises(DigestMismatch, match="it is not served"):
        get(f"file://{owned}", tmp_path, sha256="0" * 64)

    assert owned.read_bytes() == weights


def test_a_local_file_that_is_cut_short_is_refused_and_kept(weights: bytes, tmp_path: Path) -> None:
    owned = tmp_path / "mine.gguf"
    owned.write_bytes(weights[:-100])

    with pytest.raises(InvalidWeights, match="cut short"):
        get(f"file://{owned}", tmp_path)

    assert owned.exists()


def test_a_local_file_that_its_owner_replaced_is_checked_again(
    weights: bytes, tmp_path: Path
) -> None:
    owned = tmp_path / "mine.gguf"
    owned.write_bytes(weights)
    get(f"file://{owned}", tmp_path)
    other = weights[:-1] + b"x"
    owned.write_bytes(other)

    assert get(f"file://{owned}", tmp_path).sha256 == sha256(other)


@pytest.mark.parametrize(
    ("name", "declared", "error", "says"),
    [
        ("absent.gguf", {}, SourceUnreachable, "No such file"),
        ("empty", {}, SourceNotSupported, "has no files"),
        ("full", {"sha256": "0" * 64}, SourceNotSupported, "a sha256 is of one file"),
        ("full/config.json", {"bytes": 9}, InvalidWeights, "9 were declared"),
    ],
)
def test_what_cannot_be_linked_is_named(
    tmp_path: Path, name: str, declared: dict[str, Any], error: type[Exception], says: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "config.json").write_text("{}")

    with pytest.raises(error, match=says):
        get(f"file://{tmp_path / name}", tmp_path, **declared)
