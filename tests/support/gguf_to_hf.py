"""Converts a GGUF to a Hugging Face folder, by transformers' own reader: `python -m` this file.

A program of its own, so that its memory is given back before anything is served.
"""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.quantization_config import GgufConfig


def convert_gguf(path: Path, folder: Path) -> None:
    """Write weights in bf16, configuration, tokenizer and chat template to `folder`.

    Args:
        path: The GGUF file, of an architecture that transformers can read from GGUF.
        folder: Where; made if it is not there.
    """
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = AutoModelForCausalLM.from_pretrained(
        path.parent,
        gguf_file=path.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    convert_gguf(Path(sys.argv[1]), Path(sys.argv[2]))
