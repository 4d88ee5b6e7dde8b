"""Fetching from an OCI registry: artifacts whose layers are files, and images that hold files."""

import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smallmodel_serving.runtime.weights.errors import (
    DigestMismatch,
    InvalidWeights,
    SecretMissing,
    SourceNotSupported,
    SourceUnreachable,
    WeightsError,
)
from smallmodel_serving.runtime.weights.verify import open_verified, read_marker
from support.fake_hub import FakeHub
from support.fake_registry import INDEX, MANIFEST, TAR, FakeRegistry, packed_layer
from support.fetching import files_below, get, sha256
from support.gguf_files import gguf_bytes, safetensors_bytes

REPOSITORY = "org/tiny"
GGUF_TYPE = "application/vnd.docker.ai.gguf.v3"
ZIPPED = f"{TAR}+gzip"


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield running


@pytest.fixture
def weights(tmp_path: Path) -> bytes:
    return gguf_bytes(tmp_path, tensor_rows=4096)


def uri(registry: FakeRegistry, reference: str = ":1") -> str:
    return f"oci://{registry.host}/{REPOSITORY}{reference}"


@pytest.mark.parametrize(
    "named",
    [{"title": "tiny.Q4.gguf"}, {"media_type": GGUF_TYPE}],
    ids=["by its title", "by its type"],
)
def test_the_gguf_layer_of_an_artifact_is_the_file(
    registry: FakeRegistry, weights: bytes, tmp_path: Path, named: dict[str, str]
) -> None:
    other = registry.layer(b"# read me", title="README.md")
    digest = registry.put(REPOSITORY, "1", other, registry.layer(weights, **named))

    done = get(uri(registry), tmp_path, sha256=sha256(weights))

    marker = read_marker(Path(done.path).parent)
    assert Path(done.path).name == "tiny.gguf"
    assert Path(done.path).read_bytes() == weights
    assert done.gguf is not None
    assert marker is not None
    assert marker.revision == digest
    open_verified(Path(done.path), sha256(weights))


def test_a_digest_names_the_manifest(
    registry: FakeRegistry, weights: bytes, tmp_path: Path
) -> None:
    digest = registry.put(REPOSITORY, "1", registry.layer(weights, title="a.gguf"))
    registry.put(REPOSITORY, "1", registry.layer(b"newer", title="a.gguf"))

    assert get(uri(registry, f":1@{digest}"), tmp_path).sha256 == sha256(weights)


def test_other_bytes_than_the_digest_says_are_refused(
    registry: FakeRegistry, weights: bytes, tmp_path: Path
) -> None:
    digest = registry.put(REPOSITORY, "1", registry.layer(weights, title="a.gguf"))
    registry.manifests[f"{REPOSITORY}/{digest}"] = (MANIFEST, b"{}")

    with pytest.raises(DigestMismatch, match="other bytes than it was asked for"):
        get(uri(registry, f"@{digest}"), tmp_path)


def test_a_blob_with_other_bytes_is_deleted(
    registry: FakeRegistry, weights: bytes, tmp_path: Path
) -> None:
    layer = registry.layer(weights, title="a.gguf")
    registry.put(REPOSITORY, "1", layer)
    registry.blobs[layer["digest"]] = weights[:-1] + b"x"

    with pytest.raises(DigestMismatch, match="the download was deleted"):
        get(uri(registry), tmp_path)


def test_a_declared_digest_that_differs_is_seen_before_the_fetch(
    registry: FakeRegistry, weights: bytes, tmp_path: Path
) -> None:
    layer = registry.layer(weights, title="a.gguf")
    registry.put(REPOSITORY, "1", layer)

    with pytest.raises(DigestMismatch, match="it was not fetched"):
        get(uri(registry), tmp_path, sha256="0" * 64)

    assert not any("/blobs/" in path for path, _ in registry.seen)


def test_safetensors_become_a_folder_of_what_serving_needs(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    files = {
        "model.safetensors": safetensors_bytes(),
        "config.json": b"{}",
        "README.md": b"#",
    }
    registry.put(
        REPOSITORY, "1", *(registry.layer(content, title=name) for name, content in files.items())
    )

    done = get(uri(registry), tmp_path)

    assert files_below(done) == ["config.json", "model.safetensors"]
    assert done.sha256 is None


@pytest.mark.parametrize("zipped", [True, False])
def test_a_gguf_file_is_taken_out_of_an_image(
    registry: FakeRegistry, weights: bytes, tmp_path: Path, zipped: bool
) -> None:
    kind = ZIPPED if zipped else TAR
    base = packed_layer({"etc/os-release": b"x"}, zipped=zipped)
    upper = packed_layer({"./models/tiny.gguf": weights}, zipped=zipped)
    registry.put(
        REPOSITORY,
        "1",
        registry.layer(base, media_type=kind),
        registry.layer(upper, media_type=kind),
    )

    done = get(uri(registry), tmp_path, sha256=sha256(weights), bytes=len(weights))

    folder = Path(done.path).parent
    assert Path(done.path).read_bytes() == weights
    assert sorted(path.name for path in folder.iterdir()) == [
        ".lock",
        "tiny.gguf",
        "verified.json",
    ]


def test_the_file_of_the_upper_layer_counts(
    registry: FakeRegistry, weights: bytes, tmp_path: Path
) -> None:
    older = registry.layer(packed_layer({"m.gguf": b"older"}), media_type=ZIPPED)
    newer = registry.layer(packed_layer({"m.gguf": weights}), media_type=ZIPPED)
    registry.put(REPOSITORY, "1", older, newer)

    assert get(uri(registry), tmp_path).sha256 == sha256(weights)


def test_a_folder_of_safetensors_is_taken_out_of_an_image(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    files = {
        "models/m/model.safetensors": safetensors_bytes(),
        "models/m/config.json": b"{}",
        "models/m/LICENSE": b"",
        "etc/config.json": b"{}",
    }
    registry.put(REPOSITORY, "1", registry.layer(packed_layer(files), media_type=ZIPPED))

    assert files_below(get(uri(registry), tmp_path)) == ["config.json", "model.safetensors"]


def test_a_member_that_leads_out_of_the_folder_stays_inside(
    registry: FakeRegistry, weights: bytes, tmp_path: Path
) -> None:
    layer = packed_layer({"../../outside/m.gguf": weights})
    registry.put(REPOSITORY, "1", registry.layer(layer, media_type=ZIPPED))

    done = get(uri(registry), tmp_path)

    assert Path(done.path).name == "tiny.gguf"
    assert [path.name for path in tmp_path.rglob("m.gguf")] == []


@pytest.mark.parametrize(
    ("files", "declared", "error", "says"),
    [
        ({"a/b.txt": b""}, {}, SourceNotSupported, "neither a GGUF file nor safetensors"),
        ({"a.gguf": b"", "b.gguf": b""}, {}, SourceNotSupported, r"\(a.gguf, b.gguf\)"),
        (
            {"m/model.safetensors": b""},
            {"sha256": "0" * 64},
            SourceNotSupported,
            "a sha256 is of one",
        ),
        ({"m.gguf": b"xyz"}, {"sha256": "0" * 64}, DigestMismatch, "it was deleted"),
        ({"m.gguf": b"xyz"}, {"bytes": 9}, InvalidWeights, "9 were declared"),
        ({"m.gguf": b"xyz"}, {}, InvalidWeights, "GGUF"),
    ],
)
def test_an_image_without_usable_weights_says_why_and_leaves_nothing(
    registry: FakeRegistry,
    tmp_path: Path,
    files: dict[str, bytes],
    declared: dict[str, Any],
    error: type[WeightsError],
    says: str,
) -> None:
    registry.put(REPOSITORY, "1", registry.layer(packed_layer(files), media_type=ZIPPED))

    with pytest.raises(error, match=says):
        get(uri(registry), tmp_path, **declared)

    left = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert left == [".lock"]


@pytest.mark.parametrize(
    ("titles", "declared", "says"),
    [
        ([], {}, "neither a GGUF file nor safetensors"),
        (["README.md"], {}, "neither a GGUF file nor safetensors"),
        (["a.gguf", "b.gguf"], {}, "several GGUF files"),
        (["model.safetensors"], {"sha256": "0" * 64}, "name the artifact by its digest"),
    ],
)
def test_an_artifact_without_usable_weights_says_why(
    registry: FakeRegistry,
    tmp_path: Path,
    titles: list[str],
    declared: dict[str, Any],
    says: str,
) -> None:
    layers = [registry.layer(title.encode(), title=title) for title in titles]
    registry.put(REPOSITORY, "1", *layers)

    with pytest.raises(SourceNotSupported, match=says):
        get(uri(registry), tmp_path, **declared)


def test_layers_packed_with_zstd_are_refused_by_name(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.put(REPOSITORY, "1", registry.layer(b"x", media_type=f"{TAR}+zstd"))

    with pytest.raises(SourceNotSupported, match="packed with zstd"):
        get(uri(registry), tmp_path)


def cut_short(layer: bytes) -> bytes:
    return layer[:-80]


def overwritten(layer: bytes) -> bytes:
    middle = len(layer) // 2
    return layer[:middle] + b"\xff" * 400 + layer[middle + 400 :]


@pytest.mark.parametrize("damage", [cut_short, overwritten])
def test_a_damaged_layer_is_named(
    registry: FakeRegistry, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    layer = packed_layer({"m.gguf": " ".join(map(str, range(50_000))).encode()})
    registry.put(REPOSITORY, "1", registry.layer(damage(layer), media_type=ZIPPED))

    with pytest.raises(InvalidWeights, match=r"a layer of .* is damaged"):
        get(uri(registry), tmp_path)


def machine() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


@pytest.mark.parametrize(
    ("platforms", "taken"),
    [
        ([{"os": "linux", "architecture": "s390x"}, {"os": "linux"}], 1),
        ([{"os": "linux", "architecture": "s390x"}, None], 1),
    ],
    ids=["for this machine", "for any machine"],
)
def test_an_index_leads_to_what_this_machine_can_use(
    registry: FakeRegistry,
    weights: bytes,
    tmp_path: Path,
    platforms: list[dict[str, str] | None],
    taken: int,
) -> None:
    entries = []
    for number, said in enumerate(platforms):
        content = weights if number == taken else b"another machine's"
        digest = registry.put(REPOSITORY, "x", registry.layer(content, title="m.gguf"))
        platform_ = {"platform": {"architecture": machine()} | said} if said else {}
        entries.append({"mediaType": MANIFEST, "digest": digest, "size": 1} | platform_)
    registry.put_manifest(REPOSITORY, "1", INDEX, {"manifests": entries})

    assert get(uri(registry), tmp_path).sha256 == sha256(weights)


def test_an_index_with_nothing_for_this_machine_says_so(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    entry = {
        "mediaType": MANIFEST,
        "digest": f"sha256:{'0' * 64}",
        "size": 1,
        "platform": {"os": "windows", "architecture": machine()},
    }
    registry.put_manifest(REPOSITORY, "1", INDEX, {"manifests": [entry]})

    with pytest.raises(SourceNotSupported, match=f"has nothing for linux/{machine()}"):
        get(uri(registry), tmp_path)


@pytest.mark.parametrize("challenge", ["Bearer", "Basic"])
@pytest.mark.parametrize(("secret", "account"), [("me:open", "me:open"), ("open", "token:open")])
def test_a_private_registry_opens_to_the_secret(
    registry: FakeRegistry,
    weights: bytes,
    tmp_path: Path,
    challenge: str,
    secret: str,
    account: str,
) -> None:
    registry.put(REPOSITORY, "1", registry.layer(weights, title="m.gguf"))
    registry.challenge, registry.account = challenge, account

    assert get(uri(registry), tmp_path, token=secret).sha256 == sha256(weights)
    assert len([path for path, _ in registry.seen if path == "/realm"]) <= 1


def test_a_public_registry_that_wants_a_token_gives_one_to_anybody(
    registry: FakeRegistry, weights: bytes, tmp_path: Path
) -> None:
    registry.put(REPOSITORY, "1", registry.layer(weights, title="m.gguf"))
    registry.challenge = "Bearer"

    assert get(uri(registry), tmp_path).sha256 == sha256(weights)


@pytest.mark.parametrize("challenge", ["Bearer", "Basic"])
@pytest.mark.parametrize(
    ("secret", "says"),
    [(None, "name a secret with the key `token`"), ("me:wrong", "the token that was sent")],
)
def test_a_private_registry_stays_closed_to_others(
    registry: FakeRegistry, tmp_path: Path, challenge: str, secret: str | None, says: str
) -> None:
    registry.challenge, registry.account = challenge, "me:open"

    with pytest.raises(SecretMissing, match=says):
        get(uri(registry), tmp_path, token=secret)


def test_the_secret_does_not_follow_to_where_a_blob_lies(
    registry: FakeRegistry, weights: bytes, tmp_path: Path
) -> None:
    layer = registry.layer(weights, title="m.gguf")
    registry.put(REPOSITORY, "1", layer)
    registry.challenge, registry.account = "Basic", "me:open"
    with FakeHub() as elsewhere:
        registry.blob_locations[layer["digest"]] = elsewhere.put("/blob", weights)

        get(uri(registry), tmp_path, token="me:open")

    assert [request.authorization for request in elsewhere.requests] == [None]


@pytest.mark.parametrize("content", [b"<html>", b'{"layers": [{"digest": "md5:1"}]}'])
def test_what_is_no_registry_is_named(
    registry: FakeRegistry, tmp_path: Path, content: bytes
) -> None:
    registry.manifests[f"{REPOSITORY}/1"] = (MANIFEST, content)

    with pytest.raises(SourceUnreachable, match="did not answer with an OCI manifest"):
        get(uri(registry), tmp_path)


def test_a_tag_that_is_not_there_is_named(registry: FakeRegistry, tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachable, match="404"):
        get(uri(registry, ":absent"), tmp_path)
