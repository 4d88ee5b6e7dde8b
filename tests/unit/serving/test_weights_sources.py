"""What a URI names, before anything is asked of that place."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallmodel_serving.runtime.weights.errors import SourceNotSupported
from smallmodel_serving.runtime.weights.sources import (
    ClaimSource,
    HubSource,
    LocalSource,
    ObjectSource,
    OciSource,
    Source,
    UrlSource,
    WheelSource,
    parse_source,
    safe_member,
)
from smallmodel_serving.runtime.weights.store import FetchRequest, entry_key

HUB = "https://huggingface.co"


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        (
            "https://host/a/model%20one.gguf?x=1",
            UrlSource(url="https://host/a/model%20one.gguf?x=1", name="model_one.gguf"),
        ),
        ("https://host/", UrlSource(url="https://host/", name="_")),
        (
            "hf://org/repo/q4/model.gguf",
            HubSource(endpoint=HUB, repo="org/repo", path="q4/model.gguf", name="model.gguf"),
        ),
        (
            "https://host/verified.json",
            UrlSource(url="https://host/verified.json", name="_verified.json"),
        ),
        ("hf://org/repo", HubSource(endpoint=HUB, repo="org/repo", path=None, name="repo")),
        (
            "s3://bucket/a/model.gguf",
            ObjectSource(
                scheme="s3", path="bucket/a/model.gguf", is_folder=False, name="model.gguf"
            ),
        ),
        (
            "gs://bucket/model/",
            ObjectSource(scheme="gs", path="bucket/model", is_folder=True, name="model"),
        ),
        (
            "pypi://some-model==1.0/some_model/m.gguf",
            WheelSource(
                project="some-model",
                version="1.0",
                member="some_model/m.gguf",
                is_folder=False,
                name="m.gguf",
            ),
        ),
        (
            "pypi://some-model==1.0/some_model/files/",
            WheelSource(
                project="some-model",
                version="1.0",
                member="some_model/files",
                is_folder=True,
                name="files",
            ),
        ),
        (
            "oci://ghcr.io/org/tiny-model:1.0",
            OciSource(
                registry="ghcr.io", repository="org/tiny-model", reference="1.0", name="tiny-model"
            ),
        ),
        (
            "oci://localhost/tiny",
            OciSource(registry="localhost", repository="tiny", reference="latest", name="tiny"),
        ),
        (
            f"oci://registry:5000/a/b/tiny:1@sha256:{'0' * 64}",
            OciSource(
                registry="registry:5000",
                repository="a/b/tiny",
                reference=f"sha256:{'0' * 64}",
                name="tiny",
            ),
        ),
        (
            "pvc://team-models/a/model%20one.gguf",
            ClaimSource(claim="team-models", path="a/model one.gguf", name="model_one.gguf"),
        ),
        ("pvc://models/folder/", ClaimSource(claim="models", path="folder", name="folder")),
        ("file:///a/model.gguf", LocalSource(path=Path("/a/model.gguf"), name="model.gguf")),
    ],
)
def test_a_uri_names_a_place_and_the_name_in_the_cache(
    monkeypatch: pytest.MonkeyPatch, uri: str, source: Source
) -> None:
    monkeypatch.delenv("HF_ENDPOINT", raising=False)

    assert parse_source(uri) == source


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("ftp://host/model.gguf", "'ftp'; these are read: https, hf, s3, gs, pypi, oci, pvc, file"),
        ("https:///model.gguf", "names no host"),
        ("hf://gpt2", "names no repository"),
        ("hf://org/repo/../other", "names no repository"),
        ("s3://bucket", "names no object"),
        ("s3://bucket/", "names no object"),
        ("pypi://some-model/m.gguf", "names no file of a package"),
        ("pypi://some-model==1.0", "names no file of a package"),
        ("pypi://some-model==1.0/../m.gguf", "names no file of a package"),
        ("oci://org/tiny:1", "names no artifact"),
        ("oci://ghcr.io/Org/tiny", "names no artifact"),
        ("oci://ghcr.io/org/tiny@sha256:12", "names no artifact"),
        ("oci://ghcr.io/../tiny", "names no artifact"),
        ("oci://ghcr.io", "names no artifact"),
        ("pvc://models", "names no file of a volume"),
        ("pvc://models/", "names no file of a volume"),
        ("pvc://models//etc/passwd", "names no file of a volume"),
        ("pvc://models/../other/m.gguf", "names no file of a volume"),
        ("pvc://../m.gguf", "names no file of a volume"),
        ("file://model.gguf", "is no absolute path"),
        ("file:///", "is no absolute path"),
    ],
)
def test_a_uri_that_names_no_place_is_refused_with_the_right_form(uri: str, says: str) -> None:
    with pytest.raises(SourceNotSupported) as failed:
        parse_source(uri)

    assert says in str(failed.value)


@given(st.lists(st.sampled_from(["..", "a", "", ".", "b.json"]), max_size=5).map("/".join))
def test_a_listed_name_stays_inside_the_folder_or_is_refused(name: str) -> None:
    root = Path("/cache/entry")
    try:
        safe = safe_member(name)
    except SourceNotSupported:
        return
    assert (root / safe).resolve().is_relative_to(root)
    assert (root / safe) != root


@given(st.lists(st.text(max_size=8), min_size=4, max_size=4, unique=True))
def test_other_requests_have_other_folders(texts: list[str]) -> None:
    uri, revision, sha256, other = texts
    request = FetchRequest(uri=uri, revision=revision, sha256=sha256)
    key = entry_key(request, "model.gguf")

    assert key == entry_key(FetchRequest(uri=uri, revision=revision, sha256=sha256), "model.gguf")
    changed = (
        FetchRequest(uri=other, revision=revision, sha256=sha256),
        FetchRequest(uri=uri, revision=other, sha256=sha256),
        FetchRequest(uri=uri, revision=revision, sha256=other),
        FetchRequest(uri=uri, revision=revision),
    )
    assert all(entry_key(each, "model.gguf") != key for each in changed)


def test_a_token_does_not_change_the_folder() -> None:
    without = entry_key(FetchRequest(uri="hf://a/b"), "b")

    assert entry_key(FetchRequest(uri="hf://a/b", token="secret"), "b") == without
    assert without.startswith("b-")
