"""The header of a GGUF file, read without its tensors.

The `gguf` library's reader builds an array for each token of the vocabulary (1.7 s for SmolLM2's
49,152); this one steps over what is not asked for. Its table of block sizes is used, and imported
only where a file's completeness is checked.
"""

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from smallmodel_operator.api.base import human_bytes
from smallmodel_operator.api.fetch import GgufFacts
from smallmodel_serving.runtime.weights.errors import InvalidWeights

# https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
_DEFAULT_ALIGNMENT: Final = 32
_SCALARS: Final = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q",
    12: "<d",
}  # fmt: skip
_STRING: Final = 8
_ARRAY: Final = 9
_LONGEST_KEPT_ARRAY: Final = 4096
"""Longer arrays are vocabularies: only their length is kept."""
_LONGEST_KEPT_STRING: Final = 65536
_POOLINGS_INTO_ONE_VECTOR: Final = (1, 2, 3)
"""llama.cpp's mean, first and last; 0 is none and 4 ranks instead of embedding."""

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Length:
    """An array of which only the length was kept."""

    length: int


Value = Scalar | tuple[Scalar, ...] | _Length


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One entry of the tensor table."""

    name: str
    shape: tuple[int, ...]
    type_id: int
    offset: int
    """Bytes after the start of the tensor data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Metadata and tensor table of a GGUF file."""

    metadata: dict[str, Value]
    tensors: tuple[Tensor, ...]
    data_start: int
    """Offset of the tensor data in the file."""


class _Cursor:
    """Reads little-endian values one after the other."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.at = 0

    def scalar(self, code: str) -> int | float | bool:
        value: int | float | bool = struct.unpack_from(code, self._data, self.at)[0]
        self.at += struct.calcsize(code)
        return value

    def count(self) -> int:
        return int(self.scalar("<Q"))

    def skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self._data):
            raise struct.error("the file ends inside its header")

    def string(self) -> str:
        length = self.count()
        start = self.at
        self.skip(length)
        return self._data[start : min(self.at, start + _LONGEST_KEPT_STRING)].decode(
            "utf-8", "replace"
        )

    def skip_strings(self, count: int) -> None:
        # The hot loop: a vocabulary has a hundred thousand strings.
        unpack = struct.Struct("<Q").unpack_from
        data, at = self._data, self.at
        for _ in range(count):
            at += 8 + unpack(data, at)[0]
        self.at = at
        self.skip(0)

    def value(self) -> Value:
        kind = int(self.scalar("<I"))
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self._array()
        return self.scalar(_code(kind))

    def _array(self) -> Value:
        kind, count = int(self.scalar("<I")), self.count()
        if kind == _ARRAY:
            raise struct.error("arrays of arrays are not part of the format as llama.cpp reads it")
        if kind == _STRING:
            if count > _LONGEST_KEPT_ARRAY:
                self.skip_strings(count)
                return _Length(length=count)
            return tuple(self.string() for _ in range(count))
        code = _code(kind)
        if count > _LONGEST_KEPT_ARRAY:
            self.skip(count * struct.calcsize(code))
            return _Length(length=count)
        return tuple(self.scalar(code) for _ in range(count))


def _code(kind: int) -> str:
    try:
        return _SCALARS[kind]
    except KeyError:
        raise struct.error(f"value type {kind} is unknown") from None


def read_header(path: Path) -> Header:
    """Return the metadata and the tensor table of a GGUF file.

    Raises:
        InvalidWeights: The file is not GGUF, of a version not read here, or ends in its header.
    """
    with path.open("rb") as file:
        start = file.read(8)
        if start[:4] != MAGIC:
            raise InvalidWeights(
                f"{path.name} starts with {start[:4]!r}, and a GGUF file starts with {MAGIC!r}; "
                "the source gave something else, for example an error page or another format"
            )
        if len(start) < 8:
            raise InvalidWeights(f"{path.name} has {len(start)} bytes; it is cut short")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return _header(data, path.name)
            except (struct.error, OverflowError) as error:
                raise InvalidWeights(
                    f"the header of {path.name} cannot be read ({error}); the file of "
                    f"{human_bytes(len(data))} is cut short or damaged"
                ) from error


def _header(data: mmap.mmap, name: str) -> Header:
    cursor = _Cursor(data)
    cursor.skip(len(MAGIC))
    version = cursor.scalar("<I")
    if version not in VERSIONS:
        raise InvalidWeights(
            f"{name} is GGUF version {version}, and versions {VERSIONS[0]} and {VERSIONS[1]} are "
            "read; convert the model again"
        )
    tensor_count, value_count = cursor.count(), cursor.count()
    metadata = {}
    for _ in range(value_count):
        key = cursor.string()
        metadata[key] = cursor.value()
    tensors = tuple(_tensor(cursor) for _ in range(tensor_count))
    alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise struct.error(f"alignment {alignment!r} is not a positive number")
    return Header(
        metadata=metadata,
        tensors=tensors,
        data_start=-(-cursor.at // alignment) * alignment,
    )


def _tensor(cursor: _Cursor) -> Tensor:
    name = cursor.string()
    shape = tuple(cursor.count() for _ in range(int(cursor.scalar("<I"))))
    return Tensor(name=name, shape=shape, type_id=int(cursor.scalar("<I")), offset=cursor.count())


def check_complete(path: Path, header: Header) -> None:
    """Check that every tensor lies inside the file.

    Raises:
        InvalidWeights: The file ends before its last tensor, or is one part of several.
    """
    from gguf.constants import GGML_QUANT_SIZES

    sizes = {int(kind): size for kind, size in GGML_QUANT_SIZES.items()}
    need = 0
    for tensor in header.tensors:
        # A type that the library does not know yet counts as empty: the engine checks it again.
        block, block_bytes = sizes.get(tensor.type_id, (1, 0))
        end = tensor.offset + math.prod(tensor.shape) // block * block_bytes
        need = max(need, header.data_start + end)
    have = path.stat().st_size
    if have < need:
        raise InvalidWeights(
            f"{path.name} has {have} bytes and its tensors end at {need}; it is cut short: "
            "fetch it again, or correct the file at the source"
        )
    parts = header.metadata.get("split.count", 1)
    if isinstance(parts, int) and parts > 1:
        raise InvalidWeights(
            f"{path.name} is one of {parts} parts, and one file is served; merge them with "
            "`llama-gguf-split --merge`"
        )


def read_facts(path: Path) -> GgufFacts:
    """Return what the header says of the model.

    Raises:
        InvalidWeights: The header cannot be read, or lacks what memory is computed from.
    """
    return facts_of(read_header(path), path.name)


def facts_of(header: Header, name: str) -> GgufFacts:
    """Return the facts in a header; `name` is the file's, for messages."""
    architecture = header.metadata.get("general.architecture")
    if not isinstance(architecture, str):
        raise InvalidWeights(f"{name} does not name its architecture; convert the model again")
    heads = _numbers(header, name, f"{architecture}.attention.head_count")
    hidden = _numbers(header, name, f"{architecture}.embedding_length")[0]
    key_length = f"{architecture}.attention.key_length"
    kv_heads = f"{architecture}.attention.head_count_kv"
    pooling = header.metadata.get(f"{architecture}.pooling_type", 0)
    return GgufFacts(
        architecture=architecture,
        parameters=sum(math.prod(tensor.shape) for tensor in header.tensors),
        layers=_numbers(header, name, f"{architecture}.block_count")[0],
        heads=max(heads),
        kv_heads=_numbers(header, name, kv_heads) if kv_heads in header.metadata else heads,
        head_dim=(
            _numbers(header, name, key_length)[0]
            if key_length in header.metadata
            else hidden // max(1, *heads)
        ),
        hidden=hidden,
        vocabulary=_vocabulary(header, name, architecture),
        context_length=_numbers(header, name, f"{architecture}.context_length")[0],
        has_chat_template="tokenizer.chat_template" in header.metadata,
        embeds=pooling in _POOLINGS_INTO_ONE_VECTOR,
    )


def _numbers(header: Header, name: str, key: str) -> tuple[int, ...]:
    value = header.metadata.get(key)
    numbers = value if isinstance(value, tuple) else (value,)
    whole = tuple(number for number in numbers if isinstance(number, int))
    if not whole or len(whole) != len(numbers):
        raise InvalidWeights(
            f"{name} has {value!r} for {key}, and a number is needed; convert the model again"
        )
    return whole


def _vocabulary(header: Header, name: str, architecture: str) -> int:
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, _Length):
        return tokens.length
    if isinstance(tokens, tuple):
        return len(tokens)
    return _numbers(header, name, f"{architecture}.vocab_size")[0]
