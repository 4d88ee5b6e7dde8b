"""Fetching from object storage, of which fsspec's memory takes the place."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from smallmodel_serving.runtime.weights.download import Tools, storage_filesystem
from smallmodel_serving.runtime.weights.errors import (
    SecretMissing,
    SourceNotSupported,
    SourceUnreachable,
)
from support.fetching import files_below, get, sha256
from support.gguf_files import gguf_bytes, safetensors_bytes


@pytest.fixture
def weights(tmp_path: Path) -> bytes:
    return gguf_bytes(tmp_path, tensor_rows=4096)


@pytest.fixture
def storage() -> Iterator[MemoryFileSystem]:
    memory = MemoryFileSystem()
    yield memory
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]


def with_storage(filesystem: Any) -> Tools:
    return Tools(sleep=lambda _: None, filesystem=lambda _: filesystem)


def test_an_object_arrives_whole(storage: MemoryFileSystem, weights: bytes, tmp_path: Path) -> None:
    storage.pipe("/bucket/m.gguf", weights)

    done = get("s3://bucket/m.gguf", tmp_path, with_storage(storage), sha256=sha256(weights))

    assert Path(done.path).read_bytes() == weights


def test_everything_below_a_prefix_arrives(storage: MemoryFileSystem, tmp_path: Path) -> None:
    storage.pipe("/bucket/m/model.safetensors", safetensors_bytes())
    storage.pipe("/bucket/m/sub/config.json", b"{}")

    done = get("gs://bucket/m/", tmp_path, with_storage(storage))

    assert files_below(done) == ["model.safetensors", "sub/config.json"]


class FakeCutStorage:
    """One object; the first reading of it breaks after some bytes."""

    cut_at = 50_000

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.starts: list[int] = []

    def info(self, path: str) -> dict[str, Any]:
        return {"name": path, "type": "file", "size": len(self.content)}

    def ukey(self, path: str) -> str:
        return path

    def open(self, path: str, mode: str, block_size: int) -> io.BytesIO:
        storage, cut = self, not self.starts

        class FakeCutFile(io.BytesIO):
            def seek(self, offset: int, whence: int = 0) -> int:
                storage.starts.append(offset)
                return super().seek(offset, whence)

            def read(self, size: int | None = -1) -> bytes:
                if cut and self.tell() > 0:
                    raise ConnectionResetError("connection reset")
                return super().read(storage.cut_at if cut else size)

        return FakeCutFile(self.content)


def test_a_cut_object_goes_on_where_it_stopped(weights: bytes, tmp_path: Path) -> None:
    storage = FakeCutStorage(weights)

    done = get("s3://bucket/m.gguf", tmp_path, with_storage(storage))

    assert done.sha256 == sha256(weights)
    assert storage.starts == [0, FakeCutStorage.cut_at]


class FakeRefusingStorage:
    """Answers as storage libraries do without credentials."""

    def info(self, path: str) -> dict[str, Any]:
        raise PermissionError("Access Denied")


def test_refused_access_is_a_missing_secret(tmp_path: Path) -> None:
    with pytest.raises(SecretMissing, match="Access Denied"):
        get("s3://bucket/m.gguf", tmp_path, with_storage(FakeRefusingStorage()))


@pytest.mark.parametrize(
    ("uri", "error", "says"),
    [
        ("s3://bucket/absent.gguf", SourceUnreachable, "is not there"),
        ("s3://bucket/absent/", SourceUnreachable, "has no objects"),
        ("s3://bucket/m", SourceNotSupported, "is a folder"),
    ],
)
def test_what_the_storage_does_not_have_is_named(
    storage: MemoryFileSystem, tmp_path: Path, uri: str, error: type[Exception], says: str
) -> None:
    storage.pipe("/bucket/m/config.json", b"{}")

    with pytest.raises(error, match=says):
        get(uri, tmp_path, with_storage(storage))


@pytest.mark.parametrize(("scheme", "package"), [("s3", "s3fs"), ("gs", "gcsfs")])
def test_a_missing_storage_library_is_named(tmp_path: Path, scheme: str, package: str) -> None:
    def not_installed(_: str) -> Any:
        raise ImportError(package)

    tools = Tools(filesystem=not_installed)

    with pytest.raises(SourceNotSupported, match=f"pip install {package}"):
        get(f"{scheme}://bucket/m.gguf", tmp_path, tools)


def test_the_storage_libraries_are_found_by_their_scheme() -> None:
    assert isinstance(storage_filesystem("memory"), MemoryFileSystem)
