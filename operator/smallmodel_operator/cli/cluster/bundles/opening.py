"""Reading a file that was carried, and writing one, with what goes wrong told as everywhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from smallmodel_operator.api.bundle import PlacementBundle, StatusBundle
from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.reconcile.bundle import (
    BundleError,
    Damaged,
    Envelope,
    build_text,
    not_signed,
    read_envelope,
    seal,
)

if TYPE_CHECKING:
    from smallmodel_operator.clusters.signing import SigningKey

_BYTES_MAX: Final = 64 << 20


def now() -> str:
    """Return the time as RFC 3339."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_file(path: Path) -> bytes:
    """Return what is in a file.

    Raises:
        CommandError: It cannot be read, or is too large to be a bundle.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_BYTES_MAX + 1)
    except OSError as error:
        raise CommandError(
            f"{path} cannot be read ({error.strerror}); give a file that `slm bundle export` wrote",
            ExitCode.INVALID_MANIFEST,
        ) from error
    if len(content) > _BYTES_MAX:
        raise CommandError(
            f"{path} has more than {_BYTES_MAX >> 20} MiB, and no bundle has; give a file that "
            "`slm bundle export` wrote",
            ExitCode.INVALID_MANIFEST,
        )
    return content


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Have what is wrong with a file be told with its name.

    Raises:
        CommandError: Something is.
    """
    try:
        yield
    except BundleError as error:
        code = ExitCode.INVALID_MANIFEST if isinstance(error, Damaged) else ExitCode.UNFIT
        raise CommandError(f"{path} is not taken: {error}", code) from error


def read_head(content: bytes, path: Path) -> Envelope:
    """Return a file whose signature is still to be checked.

    Raises:
        CommandError: It is no bundle.
    """
    with explained(path):
        return read_envelope(content)


def check_signature(envelope: Envelope, public: str) -> None:
    """Return where a file is of whoever has the key.

    Raises:
        CommandError: What is to be the key is none.
        Damaged: It is not.
    """
    from smallmodel_operator.clusters.signing import KeyUnreadable, is_signed

    try:
        right = is_signed(public, envelope.signed, envelope.signature)
    except KeyUnreadable as error:
        raise _no_key(error) from error
    if not right:
        raise not_signed(envelope.head)


def written(bundle: PlacementBundle | StatusBundle, key: "SigningKey") -> str:
    """Return the whole file, signed.

    Raises:
        CommandError: What is to be the key is none.
    """
    from smallmodel_operator.clusters.signing import KeyUnreadable

    text = build_text(bundle)
    try:
        return seal(text, key.sign(text.encode()))
    except KeyUnreadable as error:
        raise _no_key(error) from error


def _no_key(error: Exception) -> CommandError:
    return CommandError(
        f"the key in the Secret cannot be used: {error}; restore the Secret from the backup, or "
        "delete it and run `slm cluster join NAME --mode bundle` on the hub again"
    )
