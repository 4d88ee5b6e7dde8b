"""What an embeddings endpoint must return, asked of any base URL that serves MiniLM."""

import base64
from collections.abc import Sequence
from typing import Final, Literal

import httpx
import numpy as np

from support.bert_reference import ReferenceEncoder
from support.safetensors_file import Array

TEXTS: Final = (
    "A small model answers next to its data.",
    "The cat sat on the mat.",
    "Où est la bibliothèque?",
    "Prices rose by 3.5% in 2024, and wages didn't.",
    "def add(left, right):\n    return left + right",
)
SMALLEST_COSINE: Final = 0.99


def embed(
    base_url: str,
    model: str,
    texts: Sequence[str],
    encoding: Literal["float", "base64"] = "float",
) -> Array:
    """Ask for one vector per text; shape (texts, dimensions), in the order of the texts."""
    answer = httpx.post(
        f"{base_url}/embeddings",
        json={"model": model, "input": list(texts), "encoding_format": encoding},
        timeout=60,
    )
    assert answer.status_code == httpx.codes.OK, answer.text
    entries = sorted(answer.json()["data"], key=lambda entry: entry["index"])
    assert [entry["index"] for entry in entries] == list(range(len(texts)))
    vectors = [entry["embedding"] for entry in entries]
    if encoding == "base64":
        assert all(isinstance(vector, str) for vector in vectors)
        return np.stack([np.frombuffer(base64.b64decode(each), "<f4") for each in vectors])
    assert all(isinstance(vector, list) for vector in vectors)
    return np.array(vectors, dtype=np.float32)


def check_embeddings(base_url: str, model: str, reference: ReferenceEncoder) -> None:
    """Compare an endpoint (`base_url` ends in /v1) with the reference, in batches and base64."""
    expected = np.stack([reference.encode(text) for text in TEXTS])
    batch = embed(base_url, model, TEXTS)
    assert batch.shape == expected.shape
    np.testing.assert_allclose(np.linalg.norm(batch, axis=1), 1, atol=1e-3)
    cosines = (batch * expected).sum(axis=1)
    assert cosines.min() >= SMALLEST_COSINE, dict(zip(TEXTS, cosines, strict=True))
    # The batch and base64 change how vectors travel, not what they are.
    alone = embed(base_url, model, TEXTS[:1])
    np.testing.assert_allclose(alone[0], batch[0], atol=1e-3)
    packed = embed(base_url, model, TEXTS, "base64")
    np.testing.assert_allclose(packed, batch, atol=1e-3)


def check_texts_differ(reference: ReferenceEncoder) -> None:
    """The texts are far enough apart that a wrong vector cannot pass for the right one."""
    vectors = np.stack([reference.encode(text) for text in TEXTS])
    others = vectors @ vectors.T - np.eye(len(TEXTS))
    assert others.max() < SMALLEST_COSINE / 2
