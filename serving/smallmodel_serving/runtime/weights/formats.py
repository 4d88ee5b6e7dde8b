"""Whether a fetched file is whole and of the format that its name promises."""

import json
import struct
from pathlib import Path
from typing import Final

from smallmodel_serving.runtime.weights.errors import InvalidWeights
from smallmodel_serving.runtime.weights.gguf_facts import (
    MAGIC,
    check_complete,
    facts_of,
    read_facts,
    read_header,
)

__all__ = ["check_format", "is_gguf", "read_facts"]

_LONGEST_SAFETENSORS_HEADER: Final = 100_000_000
"""As in the safetensors library."""


def is_gguf(path: Path) -> bool:
    """Return whether a file is GGUF, by its name or by how it starts."""
    if path.suffix == ".gguf":
        return True
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def check_format(path: Path) -> None:
    """Check a file of weights as far as that is possible without loading it.

    Raises:
        InvalidWeights: It is cut short, or is not of the format that its name promises.
    """
    if is_gguf(path):
        header = read_header(path)
        check_complete(path, header)
        facts_of(header, path.name)
    elif path.suffix == ".safetensors":
        _check_safetensors(path)


def _check_safetensors(path: Path) -> None:
    # https://huggingface.co/docs/safetensors: 8 bytes of length, a JSON header, then the tensors.
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _LONGEST_SAFETENSORS_HEADER:
                raise ValueError(f"its header would have {length} bytes")
            header = json.loads(file.read(length))
        ends = [
            entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"
        ]
    except (struct.error, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise InvalidWeights(
            f"{path.name} is not a safetensors file ({error}); the source gave something else, or "
            "the file is cut short"
        ) from error
    need = 8 + length + max(ends, default=0)
    if size < need:
        raise InvalidWeights(
            f"{path.name} has {size} bytes and its tensors end at {need}; it is cut short: fetch "
            "it again, or correct the file at the source"
        )
