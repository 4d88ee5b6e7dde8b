"""Secrets of local mode: one file each, named like the Secret, holding the token."""

from pathlib import Path

from smallmodel_operator.local.paths import secrets_folder


def known_secrets() -> frozenset[str]:
    """Return the names of all secrets that this user has."""
    folder = secrets_folder()
    if not folder.is_dir():
        return frozenset()
    return frozenset(entry.name for entry in folder.iterdir() if entry.is_file())


def secret_file(name: str) -> Path | None:
    """Return the file with that secret's token, or None where there is none."""
    path = secrets_folder() / name
    return path if path.is_file() else None
