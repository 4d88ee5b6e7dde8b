"""Files of a Hugging Face repository, by the hub's two HTTP routes: list, and resolve.

Not by the `huggingface_hub` package: what this project needs of a download (progress, room, locks,
digests, errors with a reason) is here for every source, and two routes are left.
"""

import difflib
from pathlib import Path
from urllib.parse import quote

import requests
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from smallmodel_serving.runtime.weights.download import Expected, Tools, check_digest, check_size
from smallmodel_serving.runtime.weights.errors import SourceNotSupported, SourceUnreachable
from smallmodel_serving.runtime.weights.files import Wanted, fetch_files, needed_files
from smallmodel_serving.runtime.weights.http import (
    TIMEOUT_SECONDS,
    HttpFile,
    check_status,
    http_errors,
    sends_token,
    session,
    shown_url,
)
from smallmodel_serving.runtime.weights.retry import retried
from smallmodel_serving.runtime.weights.sources import HubSource, safe_member
from smallmodel_serving.runtime.weights.verify import VerifiedFile


class _Lfs(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    sha256: str


class _Sibling(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    rfilename: str
    size: int | None = None
    lfs: _Lfs | None = None
    """Set for large files; small ones have no SHA-256 at the hub."""


class _Listing(BaseModel):
    """The answer of `/api/models/<repo>/revision/<revision>?blobs=true`, as far as it is read."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sha: str
    """The commit that the revision names now."""
    siblings: tuple[_Sibling, ...] = Field(default=())


def fetch_from_hub(
    source: HubSource,
    revision: str | None,
    folder: Path,
    expected: Expected,
    token: str | None,
    tools: Tools,
) -> tuple[tuple[VerifiedFile, ...], str]:
    """Fetch one file, or what serving needs of a repository; return the files and the commit.

    Raises:
        SourceUnreachable: The hub did not answer, or has no such repository, revision or file.
        SecretMissing: The repository is gated or private, and the token is missing or refused.
        DigestMismatch: The hub's digest, or that of what it sent, is not the declared one.
        SourceNotSupported: A digest was declared for a folder, or it has no safetensors.
    """
    if source.path is None and expected.sha256 is not None:
        raise SourceNotSupported(
            f"{source.repo} is a folder of files, and a sha256 is of one; name the file, or leave "
            "it out"
        )
    with session(token) as opened:
        listing = retried(lambda: _list(source, revision or "main", opened), tools.sleep)
        wanted = [
            _wanted(source, listing.sha, sibling, opened, expected)
            for sibling in _chosen(source, listing)
        ]
        files = fetch_files(wanted, folder, tools)
    return files, listing.sha


def _list(source: HubSource, revision: str, opened: requests.Session) -> _Listing:
    url = f"{source.endpoint}/api/models/{source.repo}/revision/{quote(revision, safe='')}"
    shown = shown_url(url)
    with http_errors(shown):
        response = opened.get(url, params={"blobs": "true"}, timeout=TIMEOUT_SECONDS)
        check_status(response, shown, with_token=sends_token(opened))
        try:
            return _Listing.model_validate_json(response.content)
        except ValidationError as error:
            raise SourceUnreachable(
                f"{shown} did not answer as a Hugging Face hub; check `HF_ENDPOINT`"
            ) from error


def _chosen(source: HubSource, listing: _Listing) -> list[_Sibling]:
    by_name = {sibling.rfilename: sibling for sibling in listing.siblings}
    if source.path is not None:
        if source.path not in by_name:
            nearest = difflib.get_close_matches(source.path, by_name, cutoff=0.3)
            raise SourceUnreachable(
                f"{source.repo} at {listing.sha} has no file {source.path}; nearest: "
                f"{', '.join(nearest) or 'none'}"
            )
        return [by_name[source.path]]
    names = needed_files(by_name)
    if not names:
        raise SourceNotSupported(
            f"{source.repo} has no safetensors; name one of its files, as in "
            f"hf://{source.repo}/file.gguf"
        )
    return [by_name[name] for name in names]


def _wanted(
    source: HubSource,
    commit: str,
    sibling: _Sibling,
    opened: requests.Session,
    expected: Expected,
) -> Wanted:
    name = safe_member(sibling.rfilename)
    remote = HttpFile(
        session=opened, url=f"{source.endpoint}/{source.repo}/resolve/{commit}/{quote(name)}"
    )
    at_hub = sibling.lfs.sha256 if sibling.lfs else None
    if source.path is None:
        return Wanted(
            name=f"{source.name}/{name}",
            remote=remote,
            expected=Expected(sha256=at_hub, bytes=sibling.size),
        )
    if at_hub is not None:
        check_digest(at_hub, expected, remote.shown, "it was not fetched")
    if sibling.size is not None:
        check_size(sibling.size, expected, remote.shown)
    return Wanted(
        name=source.name,
        remote=remote,
        expected=Expected(sha256=expected.sha256 or at_hub, bytes=expected.bytes or sibling.size),
    )
