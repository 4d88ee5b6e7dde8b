"""Objects as a user's YAML holds them: plain mappings, to be changed at will."""

import textwrap
from typing import Any

YamlObject = dict[str, Any]

CHAT_YAML = """\
apiVersion: smallmodel.dev/v1alpha1
kind: SmallModel
metadata:
  name: chat
spec:
  model: smollm2-135m-instruct
"""


def chat_text(spec: str, name: str = "chat") -> str:
    """The text of a SmallModel whose spec starts in line 6."""
    head = CHAT_YAML.partition("  model:")[0].replace("name: chat", f"name: {name}")
    return f"{head}{textwrap.indent(textwrap.dedent(spec).strip(), '  ')}\n"


def small_model(name: str = "chat", **spec: Any) -> YamlObject:
    """A SmallModel with that spec; without one, the smallest that is valid."""
    return {
        "apiVersion": "smallmodel.dev/v1alpha1",
        "kind": "SmallModel",
        "metadata": {"name": name},
        "spec": spec or {"model": "smollm2-135m-instruct"},
    }


def variant(name: str = "q4_1", **changed: Any) -> YamlObject:
    """A GGUF variant."""
    return {
        "name": name,
        "format": "GGUF",
        "engine": "LlamaCpp",
        "uri": f"hf://example/tiny/{name}.gguf",
        "bitsPerWeight": 5.0,
        **changed,
    }


def architecture(**changed: Any) -> YamlObject:
    """A dense model of two layers."""
    return {
        "name": "LlamaForCausalLM",
        "parameters": 1_000_000,
        "layers": 2,
        "heads": 4,
        "kvHeads": [2],
        "headDim": 8,
        "hidden": 32,
        "vocabulary": 1000,
        **changed,
    }


def model_card(name: str = "tiny", **changed: Any) -> YamlObject:
    """An open model with one variant, and the spec's fields changed as given."""
    spec: YamlObject = {
        "displayName": "Tiny",
        "publisher": "Example",
        "family": "tiny",
        "task": "Chat",
        "languages": ["en"],
        "license": {"id": "Apache-2.0", "name": "Apache License 2.0"},
        "contextLength": 2048,
        "architecture": architecture(),
        "intendedUse": "Tests.",
        "limits": "It does not exist.",
        "provenance": {"card": "https://example.com/tiny"},
        "variants": [variant()],
    }
    spec.update(changed)
    return {
        "apiVersion": "smallmodel.dev/v1alpha1",
        "kind": "ModelCard",
        "metadata": {"name": name},
        "spec": spec,
    }
