"""Tokens per second of an OpenAI endpoint."""

import asyncio
import itertools
import time
from dataclasses import dataclass

from bench.client import Client, chat_body, completion_tokens
from bench.slm_up import NAME

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Rate:
    """Tokens, and the seconds from the first request to the last answer."""

    tokens: int
    seconds: float

    def __add__(self, other: "Rate") -> "Rate":
        """Return both, one after the other."""
        return Rate(self.tokens + other.tokens, self.seconds + other.seconds)

    @property
    def per_second(self) -> float:
        """Tokens per second."""
        return self.tokens / self.seconds


async def generate(url: str, *, clients: int, requests: int, tokens: int) -> Rate:
    """Have clients stream answers of exactly that many tokens, each one after the other.

    Every prompt begins with another number, so that no engine has it cached.

    Args:
        url: The base URL for an OpenAI client.
        clients: How many at once.
        requests: How many each of them sends.
        tokens: The length of each answer.

    Raises:
        RuntimeError: An answer was another than asked for.
    """
    began = time.perf_counter()
    counts = await asyncio.gather(*(_client(url, requests, tokens) for _ in range(clients)))
    return Rate(sum(counts), time.perf_counter() - began)


async def _client(url: str, requests: int, tokens: int) -> int:
    made = 0
    for _ in range(requests):
        # One connection each, as the replica does it: llama.cpp closes one after a stream without
        # saying so before.
        client = Client(url)
        prompt = f"{next(_numbers)}: tell a story about a harbour."
        reply = await client.post("/chat/completions", chat_body(NAME, prompt, tokens, stream=True))
        got = completion_tokens(reply.body)
        if reply.status != 200 or got != tokens:
            raise RuntimeError(
                f"{got} tokens instead of {tokens}, status {reply.status}: {reply.body[:300]!r}"
            )
        client.close()
        made += got
    return made
