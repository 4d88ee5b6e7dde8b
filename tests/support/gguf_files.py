"""Small GGUF and safetensors files, written by the formats' own rules."""

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from gguf import GGUFWriter


def write_gguf(
    path: Path,
    *,
    architecture: str = "llama",
    layers: int = 2,
    heads: int = 4,
    kv_heads: int | Sequence[int] | None = 2,
    hidden: int = 8,
    tokens: int = 5,
    context_length: int = 64,
    key_length: int | None = None,
    pooling: int | None = None,
    chat_template: str | None = None,
    tensor_rows: int = 4,
    parts: int | None = None,
) -> Path:
    """Write a GGUF file by the `gguf` library; its tensors are zeros."""
    writer = GGUFWriter(path, architecture)
    writer.add_block_count(layers)
    writer.add_head_count(heads)
    if isinstance(kv_heads, int):
        writer.add_head_count_kv(kv_heads)
    elif kv_heads is not None:
        writer.add_head_count_kv(list(kv_heads))
    writer.add_embedding_length(hidden)
    writer.add_context_length(context_length)
    writer.add_token_list([f"t{index}" for index in range(tokens)])
    if key_length is not None:
        writer.add_key_length(key_length)
    if pooling is not None:
        writer.add_uint32(f"{architecture}.pooling_type", pooling)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    if parts is not None:
        writer.add_uint16("split.count", parts)
    for index in range(layers):
        weight = np.zeros((tensor_rows, hidden), dtype=np.float32)
        writer.add_tensor(f"blk.{index}.attn_q.weight", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def gguf_bytes(folder: Path, *, tensor_rows: int = 4) -> bytes:
    """Return the bytes of a small GGUF file; 64 rows of tensors are 4 KiB."""
    return write_gguf(folder / "built.gguf", tensor_rows=tensor_rows).read_bytes()


def safetensors_bytes(count: int = 8) -> bytes:
    """Return a safetensors file with one float32 tensor of `count` numbers."""
    entry = {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}
    header = json.dumps({"__metadata__": {"format": "pt"}, "weight": entry}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4 * count)
