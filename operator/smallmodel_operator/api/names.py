"""Names: the group, labels, limits, and how a name is derived from another."""

import hashlib
from typing import Final, Literal

GROUP: Final = "smallmodel.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final[Literal["smallmodel.dev/v1alpha1"]] = "smallmodel.dev/v1alpha1"

# A RayService's name may have 47 characters, and `-` with a hash of five is appended to ours.
SMALLMODEL_NAME_MAX: Final = 40
INDEX_APPLICATION: Final = "_index"
"""Serve's always healthy application; no SmallModel can have this name (`patterns.NAME`)."""


def short_hash(text: str, length: int = 8) -> str:
    """Return the first `length` hexadecimal digits of the text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]
