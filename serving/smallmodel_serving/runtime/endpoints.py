"""Which requests a model answers, and which are refused before they reach its engine."""

import json
from typing import Any, Final

from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.api.reasons import Reason
from smallmodel_serving.runtime.asgi import RequestError

# Endpoints are told apart by the path without its version.
_CHAT: Final = frozenset(("/chat/completions", "/messages", "/messages/count_tokens", "/responses"))
_COMPLETION: Final = frozenset(("/completion", "/completions", "/infill"))
_EMBEDDING: Final = frozenset(
    ("/embedding", "/embeddings", "/pooling", "/rerank", "/reranking", "/score")
)

_REFUSED: Final[dict[Task, tuple[tuple[frozenset[str], str], ...]]] = {
    Task.CHAT: ((_EMBEDDING, "writes text and makes no embeddings; ask an embedding model"),),
    Task.COMPLETION: (
        (_EMBEDDING, "writes text and makes no embeddings; ask an embedding model"),
        (_CHAT, "was not trained to chat and has no chat template; use /v1/completions"),
    ),
    Task.EMBEDDING: (
        (_CHAT | _COMPLETION, "makes embeddings and writes no text; use /v1/embeddings"),
    ),
}

# They change the engine for everybody, or read what is not the caller's.
_ADMINISTRATION: Final = ("/cors-proxy", "/lora-adapters", "/models", "/props", "/slots", "/stream")

_LIMIT_NAMES: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")


def check_endpoint(task: Task, model: str, path: str) -> None:
    """Refuse an endpoint that a model of this task does not have.

    Paths that are not known here are the engine's own affair.

    Raises:
        RequestError: 400, with the endpoint to use; 404 for the engine's administration.
    """
    endpoint = path.removeprefix("/v1")
    if endpoint.startswith(_ADMINISTRATION):
        raise RequestError(404, Reason.WRONG_ENDPOINT, f"{path} is not served here.")
    for endpoints, why in _REFUSED[task]:
        if endpoint in endpoints:
            raise RequestError(400, Reason.WRONG_ENDPOINT, f"{path}: the model {model} {why}.")


def json_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a body is, or None: then the engine says what is wrong."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return request if isinstance(request, dict) else None


def check_token_limit(request: dict[str, Any], context_length: int) -> None:
    """Refuse a limit of tokens that is beyond the context.

    llama.cpp takes any limit and stops at the context's end, so a client that counts on its limit
    would get less without an error.

    Raises:
        RequestError: 400, with the limit that is possible.
    """
    for name in _LIMIT_NAMES:
        asked = request.get(name)
        if isinstance(asked, int) and asked > context_length:
            raise RequestError(
                400,
                Reason.TOO_MANY_TOKENS,
                f"{name} is {asked}, and the model's context is {context_length} tokens, prompt "
                f"included; ask for less, or set `spec.contextLength`.",
                name,
            )
