"""The header of a GGUF file: what is read of it, and how damage is seen."""

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smallmodel_serving.runtime.weights.errors import InvalidWeights
from smallmodel_serving.runtime.weights.formats import check_format
from smallmodel_serving.runtime.weights.gguf_facts import read_facts
from support.gguf_files import safetensors_bytes, write_gguf

FOLDER_IS_SHARED = settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FOLDER_IS_SHARED
@given(
    architecture=st.sampled_from(["llama", "bert", "openelm"]),
    layers=st.integers(1, 4),
    head_dim=st.integers(1, 4),
    heads=st.integers(1, 4),
    context_length=st.integers(1, 1 << 20),
    tokens=st.integers(1, 5000),
    chat_template=st.none() | st.text(min_size=1, max_size=50),
    pooling=st.none() | st.integers(0, 4),
)
def test_what_the_library_writes_is_read_back(
    tmp_path: Path,
    architecture: str,
    layers: int,
    head_dim: int,
    heads: int,
    context_length: int,
    tokens: int,
    chat_template: str | None,
    pooling: int | None,
) -> None:
    path = write_gguf(
        tmp_path / "model.gguf",
        architecture=architecture,
        layers=layers,
        heads=heads,
        kv_heads=1,
        hidden=heads * head_dim,
        tokens=tokens,
        context_length=context_length,
        chat_template=chat_template,
        pooling=pooling,
        tensor_rows=3,
    )

    facts = read_facts(path)

    check_format(path)
    assert facts.architecture == architecture
    assert (facts.layers, facts.heads, facts.kv_heads) == (layers, heads, (1,))
    assert (facts.head_dim, facts.hidden) == (head_dim, heads * head_dim)
    assert (facts.vocabulary, facts.context_length) == (tokens, context_length)
    assert facts.parameters == layers * 3 * heads * head_dim
    assert facts.has_chat_template is (chat_template is not None)
    assert facts.embeds is (pooling in (1, 2, 3))


def test_kv_heads_may_differ_by_layer_and_default_to_the_heads(tmp_path: Path) -> None:
    differing = write_gguf(tmp_path / "a.gguf", layers=3, kv_heads=[1, 2, 4])
    silent = write_gguf(tmp_path / "b.gguf", heads=4, kv_heads=None)

    assert read_facts(differing).kv_heads == (1, 2, 4)
    assert read_facts(silent).kv_heads == (4,)


def test_a_key_length_in_the_header_is_the_head_dimension(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "model.gguf", heads=4, hidden=8, key_length=256)

    assert read_facts(path).head_dim == 256


def test_no_shortened_file_passes(tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "whole.gguf").read_bytes()
    short = tmp_path / "short.gguf"
    # The last tensor has 128 bytes, a multiple of the alignment: no padding follows that could go.
    for length in range(len(whole)):
        short.write_bytes(whole[:length])

        with pytest.raises(InvalidWeights):
            check_format(short)


def test_one_of_several_parts_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(InvalidWeights, match="one of 3 parts"):
        check_format(write_gguf(tmp_path / "model.gguf", parts=3))


def header(*entries: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(entries)) + b"".join(entries)


def entry(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


ARCHITECTURE = entry("general.architecture", 8, text("llama"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (header(), "does not name its architecture"),
        (header(ARCHITECTURE), "llama.attention.head_count"),
        (header(entry("x", 99, b"")), "value type 99 is unknown"),
        (header(entry("x", 9, struct.pack("<IQ", 9, 1))), "arrays of arrays"),
        (header(entry("x", 9, struct.pack("<IQ", 4, 1 << 62))), "ends inside its header"),
        (header(entry("x", 9, struct.pack("<IQ", 8, 1 << 62))), "cannot be read"),
        (header(entry("x", 8, struct.pack("<Q", 1 << 62))), "ends inside its header"),
        (header(entry("general.alignment", 4, struct.pack("<I", 0))), "alignment 0"),
    ],
    ids=[
        "no architecture",
        "no heads",
        "unknown type",
        "nested arrays",
        "endless numbers",
        "endless words",
        "endless text",
        "no alignment",
    ],
)
def test_a_header_that_makes_no_sense_is_refused_with_what_is_wrong(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)

    with pytest.raises(InvalidWeights) as failed:
        check_format(path)

    assert says in str(failed.value)


def test_no_shortened_safetensors_file_passes(tmp_path: Path) -> None:
    whole = safetensors_bytes()
    path = tmp_path / "model.safetensors"
    path.write_bytes(whole)
    check_format(path)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])

        with pytest.raises(InvalidWeights):
            check_format(path)


@pytest.mark.parametrize("content", [b"<!DOCTYPE html>" * 9, struct.pack("<Q", 2) + b"[]"])
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)

    with pytest.raises(InvalidWeights, match="not a safetensors file"):
        check_format(path)


def test_other_files_are_not_looked_into(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("{")

    check_format(path)
