"""A BERT sentence encoder in plain numpy: what the engine's embeddings are compared with.

Written from the papers (BERT, arXiv:1810.04805; Sentence-BERT, arXiv:1908.10084) and reading the
original safetensors, it shares neither code nor converted weights with the engine.
"""

import json
import math
import unicodedata
from pathlib import Path
from typing import Final

import numpy as np

from support.safetensors_file import Array, read_safetensors

_LONGEST_WORD: Final = 100


class ReferenceEncoder:
    """Text in, one normalised vector out."""

    def __init__(self, model: Path) -> None:
        config = json.loads((model / "config.json").read_text())
        words = (model / "vocab.txt").read_text(encoding="utf-8").splitlines()
        self._ids = {word: index for index, word in enumerate(words)}
        self._weights = read_safetensors(model / "model.safetensors")
        self._layers: int = config["num_hidden_layers"]
        self._heads: int = config["num_attention_heads"]
        self._epsilon: float = config["layer_norm_eps"]

    def tokens(self, text: str) -> list[int]:
        """Return the token ids of a text, `[CLS]` and `[SEP]` included."""
        ids = [self._ids["[CLS]"]]
        for word in _words(text):
            ids.extend(self._pieces(word))
        return [*ids, self._ids["[SEP]"]]

    def encode(self, text: str) -> Array:
        """Return the mean of the last hidden states, of length one; shape (hidden,)."""
        hidden = self._embed(self.tokens(text))
        for layer in range(self._layers):
            hidden = self._layer(hidden, f"encoder.layer.{layer}")
        mean = hidden.mean(axis=0)
        vector: Array = mean / np.linalg.norm(mean)
        return vector

    def _pieces(self, word: str) -> list[int]:
        pieces: list[int] = []
        start = 0
        while start < len(word) <= _LONGEST_WORD:
            ends = range(len(word), start, -1)
            marked = ((end, ("##" if start else "") + word[start:end]) for end in ends)
            found = next(((end, piece) for end, piece in marked if piece in self._ids), None)
            if found is None:
                return [self._ids["[UNK]"]]
            start = found[0]
            pieces.append(self._ids[found[1]])
        return pieces or [self._ids["[UNK]"]]

    def _embed(self, ids: list[int]) -> Array:
        weights = self._weights
        summed: Array = (
            weights["embeddings.word_embeddings.weight"][ids]
            + weights["embeddings.position_embeddings.weight"][: len(ids)]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        return self._norm(summed, "embeddings.LayerNorm")

    def _layer(self, hidden: Array, name: str) -> Array:
        attended = self._attention(hidden, f"{name}.attention.self")
        attended = self._linear(attended, f"{name}.attention.output.dense")
        hidden = self._norm(hidden + attended, f"{name}.attention.output.LayerNorm")
        wide = _gelu(self._linear(hidden, f"{name}.intermediate.dense"))
        narrow = self._linear(wide, f"{name}.output.dense")
        return self._norm(hidden + narrow, f"{name}.output.LayerNorm")

    def _attention(self, hidden: Array, name: str) -> Array:
        tokens, width = hidden.shape
        head_dim = width // self._heads
        query, key, value = (
            self._linear(hidden, f"{name}.{part}")
            .reshape(tokens, self._heads, head_dim)
            .swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / math.sqrt(head_dim)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = scores / scores.sum(axis=-1, keepdims=True) @ value
        joined: Array = mixed.swapaxes(0, 1).reshape(tokens, width)
        return joined

    def _linear(self, hidden: Array, name: str) -> Array:
        result: Array = hidden @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return result

    def _norm(self, hidden: Array, name: str) -> Array:
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self._epsilon)
        result: Array = scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return result


def _gelu(values: Array) -> Array:
    result: Array = values * 0.5 * (1 + np.vectorize(math.erf)(values / math.sqrt(2)))
    return result.astype(np.float32)


def _words(text: str) -> list[str]:
    """Split as BERT's uncased tokenizer does: lower case, no accents, punctuation alone."""
    decomposed = unicodedata.normalize("NFD", text.lower())
    spaced = "".join(
        f" {character} " if _stands_alone(character) else character
        for character in decomposed
        if unicodedata.category(character) != "Mn"
    )
    return spaced.split()


def _stands_alone(character: str) -> bool:
    is_ascii_symbol = character.isascii() and character.isprintable() and not character.isalnum()
    return (
        (is_ascii_symbol and character != " ")
        or unicodedata.category(character).startswith("P")
        or "\u4e00" <= character <= "\u9fff"
    )
