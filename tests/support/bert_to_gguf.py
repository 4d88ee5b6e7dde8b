"""Converts a BERT that pools its tokens (as sentence-transformers publishes them) to GGUF."""

import json
from pathlib import Path
from typing import Final

from gguf import GGUFWriter, LlamaFileType, PoolingType, TokenType

from support.safetensors_file import read_safetensors

_ONCE: Final = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.LayerNorm": "token_embd_norm",
}
_PER_LAYER: Final = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def convert_bert(model: Path, path: Path) -> None:
    """Write the model in folder `model` to `path`, in float32 and with mean pooling."""
    config = json.loads((model / "config.json").read_text())
    pooling = json.loads((model / "1_Pooling" / "config.json").read_text())
    assert pooling["pooling_mode_mean_tokens"], "only mean pooling is converted here"
    writer = GGUFWriter(path, "bert")
    writer.add_name(model.name)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(PoolingType.MEAN)
    writer.add_file_type(LlamaFileType.ALL_F32)
    _add_vocabulary(writer, model, config["type_vocab_size"])
    for name, tensor in read_safetensors(model / "model.safetensors").items():
        converted = _gguf_name(name)
        if converted is not None:
            writer.add_tensor(converted, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_vocabulary(writer: GGUFWriter, model: Path, token_types: int) -> None:
    words = (model / "vocab.txt").read_text(encoding="utf-8").splitlines()
    writer.add_tokenizer_model("bert")
    writer.add_token_type_count(token_types)
    writer.add_token_list([_as_llama_cpp_writes(word) for word in words])
    writer.add_token_scores([0.0] * len(words))
    writer.add_token_types(
        [TokenType.CONTROL if word in _SPECIAL else TokenType.NORMAL for word in words]
    )
    writer.add_pad_token_id(words.index("[PAD]"))
    writer.add_unk_token_id(words.index("[UNK]"))
    writer.add_bos_token_id(words.index("[CLS]"))
    writer.add_sep_token_id(words.index("[SEP]"))
    writer.add_mask_token_id(words.index("[MASK]"))


def _as_llama_cpp_writes(word: str) -> str:
    """Mark the beginnings of words, where BERT's own vocabulary marks the continuations."""
    if word in _SPECIAL:
        return word
    return word[2:] if word.startswith("##") else f"\u2581{word}"


def _gguf_name(name: str) -> str | None:
    if name in _ONCE:
        return _ONCE[name]
    module, _, kind = name.rpartition(".")
    if module in _ONCE:
        return f"{_ONCE[module]}.{kind}"
    if not module.startswith("encoder.layer."):
        return None
    layer, _, part = module.removeprefix("encoder.layer.").partition(".")
    return f"blk.{layer}.{_PER_LAYER[part]}.{kind}"
