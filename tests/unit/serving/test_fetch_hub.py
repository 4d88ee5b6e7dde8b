"""Fetching from a Hugging Face hub: one file, or what serving needs of a repository."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from smallmodel_serving.runtime.weights.errors import (
    DigestMismatch,
    SecretMissing,
    SourceNotSupported,
    SourceUnreachable,
)
from smallmodel_serving.runtime.weights.verify import open_verified, read_marker
from support.fake_hub import FakeHub
from support.fetching import files_below, get, sha256
from support.gguf_files import gguf_bytes, safetensors_bytes

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "org/repo"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with FakeHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture
def weights(tmp_path: Path) -> bytes:
    return gguf_bytes(tmp_path, tensor_rows=4096)


def put_repository(
    hub: FakeHub, files: dict[str, bytes], *, revision: str = "main", token: str | None = None
) -> None:
    siblings = [
        {"rfilename": name, "size": len(content)}
        | ({"lfs": {"sha256": sha256(content), "size": len(content)}} if len(content) > 99 else {})
        for name, content in files.items()
    ]
    listing = json.dumps({"id": REPO, "sha": COMMIT, "siblings": siblings}).encode()
    closed = {"token": token} if token else {}
    hub.put(f"/api/models/{REPO}/revision/{revision}", listing)
    for name, content in files.items():
        hub.put(f"/{REPO}/resolve/{COMMIT}/{name}", content, **closed)


def test_one_file_of_a_repository_comes_from_the_commit_that_the_revision_names(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    put_repository(hub, {"q4/model.gguf": weights, "README.md": b"#"}, revision="v1.0")

    done = get(f"hf://{REPO}/q4/model.gguf", tmp_path, revision="v1.0")

    marker = read_marker(Path(done.path).parent)
    assert Path(done.path).read_bytes() == weights
    assert done.gguf is not None
    assert marker is not None
    assert marker.revision == COMMIT
    assert hub.requests[-1].path == f"/{REPO}/resolve/{COMMIT}/q4/model.gguf"


def test_a_repository_becomes_a_folder_of_what_serving_needs(hub: FakeHub, tmp_path: Path) -> None:
    put_repository(
        hub,
        {
            "model.safetensors": safetensors_bytes(),
            "consolidated.safetensors": safetensors_bytes(),
            "config.json": b"{}",
            "tokenizer.json": b"{}",
            "tokenizer.model": b"\1",
            "vocab.txt": b"a",
            "chat_template.jinja": b"{{ x }}",
            "1_Pooling/config.json": b"{}",
            "onnx/config.json": b"{}",
            "pytorch_model.bin": b"pickle",
            "README.md": b"#",
        },
    )

    done = get(f"hf://{REPO}", tmp_path)

    assert files_below(done) == [
        "1_Pooling/config.json",
        "chat_template.jinja",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer.model",
        "vocab.txt",
    ]
    assert (done.sha256, done.gguf) == (None, None)
    open_verified(Path(done.path), None)


def test_a_folder_that_was_cut_keeps_the_files_that_were_whole(
    hub: FakeHub, tmp_path: Path
) -> None:
    first, second = safetensors_bytes(50_000), safetensors_bytes(60_000)
    put_repository(hub, {"a.safetensors": first, "b.safetensors": second})
    hub.cuts.extend([10**9, 10**9, 100_000, 0, 0, 0, 0])
    with pytest.raises(SourceUnreachable):
        get(f"hf://{REPO}", tmp_path)
    before = len(hub.requests)

    done = get(f"hf://{REPO}", tmp_path)

    asked = [request.path.rpartition("/")[2] for request in hub.requests[before:]]
    assert asked == ["main", "b.safetensors"]
    assert hub.requests[-1].first_byte > 0
    assert (Path(done.path) / "b.safetensors").read_bytes() == second


def test_the_hubs_own_digest_is_checked_though_none_was_declared(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    put_repository(hub, {"model.gguf": weights})
    hub.put(f"/{REPO}/resolve/{COMMIT}/model.gguf", weights[:-1] + b"x")

    with pytest.raises(DigestMismatch):
        get(f"hf://{REPO}/model.gguf", tmp_path)


def test_a_digest_that_the_hub_contradicts_costs_no_download(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    put_repository(hub, {"model.gguf": weights})

    with pytest.raises(DigestMismatch, match="it was not fetched"):
        get(f"hf://{REPO}/model.gguf", tmp_path, sha256="0" * 64)

    assert len(hub.requests) == 1


def test_a_gated_repository_wants_its_token(hub: FakeHub, weights: bytes, tmp_path: Path) -> None:
    put_repository(hub, {"model.gguf": weights}, token="mine")
    with pytest.raises(SecretMissing, match="secretRef"):
        get(f"hf://{REPO}/model.gguf", tmp_path)

    assert get(f"hf://{REPO}/model.gguf", tmp_path, token="mine").sha256 == sha256(weights)


@pytest.mark.parametrize(
    ("uri", "error", "says"),
    [
        (f"hf://{REPO}/modle.gguf", SourceUnreachable, "nearest: model.gguf"),
        ("hf://org/absent/model.gguf", SourceUnreachable, "answered 404"),
        (f"hf://{REPO}", SourceNotSupported, "has no safetensors"),
    ],
)
def test_what_the_hub_does_not_have_is_named(
    hub: FakeHub,
    weights: bytes,
    tmp_path: Path,
    uri: str,
    error: type[Exception],
    says: str,
) -> None:
    put_repository(hub, {"model.gguf": weights})

    with pytest.raises(error, match=says):
        get(uri, tmp_path)


def test_a_digest_for_a_whole_repository_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(SourceNotSupported, match="a sha256 is of one"):
        get(f"hf://{REPO}", tmp_path, sha256="0" * 64)


def test_a_listing_that_leads_out_of_the_folder_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    put_repository(hub, {"../../evil.gguf": b"GGUF"})

    with pytest.raises(SourceNotSupported):
        get(f"hf://{REPO}/../../evil.gguf", tmp_path)


def test_something_else_than_a_hub_is_named(hub: FakeHub, tmp_path: Path) -> None:
    hub.put(f"/api/models/{REPO}/revision/main", b"<html>")

    with pytest.raises(SourceUnreachable, match="HF_ENDPOINT"):
        get(f"hf://{REPO}/model.gguf", tmp_path)
