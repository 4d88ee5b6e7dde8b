"""The engine arguments that a user may set, by engine, and the values that each takes.

Names are the engine's own long options without the dashes. What is not listed is refused, because
it could change what memory was computed from, what the gateway relies on, or read files.
"""

import re
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.smallmodel import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Integer:
    """A whole number within bounds, both included."""

    low: int
    high: int

    def rule(self) -> str:
        """Say which values are allowed."""
        return f"a whole number from {self.low} to {self.high}"

    def allows(self, value: str) -> bool:
        """Return whether the value is allowed."""
        return (
            re.fullmatch(r"[0-9]{1,9}", value) is not None and self.low <= int(value) <= self.high
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def rule(self) -> str:
        """Say which values are allowed."""
        return f"one of {', '.join(self.words)}"

    def allows(self, value: str) -> bool:
        """Return whether the value is allowed."""
        return value in self.words


@dataclass(frozen=True, slots=True, kw_only=True)
class Anything:
    """Any text: only for arguments that need the platform team's trust anyway."""

    def rule(self) -> str:
        """Say which values are allowed."""
        return "any text that is not empty"

    def allows(self, value: str) -> bool:
        """Return whether the value is allowed."""
        return value != ""


Values = Integer | Choice | Anything

_FLAG: Final = Choice(words=("true", "false"))
_KV_TYPES: Final = Choice(words=("f32", "f16", "bf16", "q8_0", "q4_0"))

ALLOWED: Final[dict[Engine, dict[str, Values]]] = {
    Engine.LLAMA_CPP: {
        "batch-size": Integer(low=32, high=8192),
        "cache-type-k": _KV_TYPES,
        "cache-type-v": _KV_TYPES,
        "parallel": Integer(low=1, high=64),
        "reasoning-format": Choice(words=("none", "deepseek", "auto")),
        "ubatch-size": Integer(low=32, high=4096),
    },
    Engine.VLLM: {
        "dtype": Choice(words=("auto", "bfloat16", "float16")),
        "enable-auto-tool-choice": _FLAG,
        "enable-prefix-caching": _FLAG,
        "enforce-eager": _FLAG,
        "kv-cache-dtype": Choice(words=("auto", "bfloat16", "fp8")),
        "max-num-batched-tokens": Integer(low=256, high=65536),
        "max-num-seqs": Integer(low=1, high=256),
        "seed": Integer(low=0, high=999_999_999),
        "tool-call-parser": Choice(
            words=("hermes", "llama3_json", "mistral", "phi4_mini_json", "pythonic")
        ),
    },
}
"""Arguments that are safe for everyone, by engine."""

UNSAFE: Final[dict[Engine, dict[str, Values]]] = {
    Engine.LLAMA_CPP: {"chat-template": Anything()},
    Engine.VLLM: {
        "chat-template": Anything(),
        "hf-overrides": Anything(),
        "trust-remote-code": _FLAG,
    },
}
"""Arguments that import code or read paths: they need `allowUnsafeArgs` and `Dedicated`."""

SLOTS: Final = frozenset({"parallel", "max-num-seqs"})
"""Arguments that say how many requests are computed at once, which an option has as `slots`."""
