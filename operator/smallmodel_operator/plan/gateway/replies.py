"""The gateway's own answers, in the form of OpenAI's API."""

import json
from collections.abc import Sequence
from typing import Final

from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import RETRY_AFTER_SECONDS
from smallmodel_operator.plan.gateway.document import Json, Message
from smallmodel_operator.plan.gateway.values import GatewayModel, Unavailable

DYNAMIC_NAMESPACE: Final = "smallmodel"
"""Envoy's dynamic metadata in which a request's model is kept."""

NOT_HERE_HEADER: Final = "x-smallmodel-not-here"
"""On the answer of a gateway whose cluster does not serve the model: nothing was asked of it."""

_NAMES_SHOWN: Final = 20
_ASKED: Final = "%REQ(:METHOD)% %PATH(NQ:PATH):200%"
_NAMED: Final = f"%DYNAMIC_METADATA({DYNAMIC_NAMESPACE}:model):100%"


def model_list(models: Sequence[GatewayModel]) -> Message:
    """Answer `GET /v1/models`."""
    return _answer({"object": "list", "data": [_model(model.name) for model in models]})


def one_model(name: str) -> Message:
    """Answer `GET /v1/models/{id}`."""
    return _answer(_model(name))


def healthy() -> Message:
    """Answer `GET /health`."""
    return _answer({"status": "ok"})


def welcome(models: Sequence[GatewayModel]) -> Message:
    """Answer `GET /`: what this is and what can be asked."""
    return _answer(
        {
            "service": "smallmodel",
            "models": [model.name for model in models],
            "endpoints": ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"],
        }
    )


def unknown_model(models: Sequence[GatewayModel], base: str = "") -> Message:
    """Refuse the model that the body names, and name those that exist."""
    return _error(
        404,
        f"The model `{_NAMED}` does not exist here. {_existing(models, base)}",
        param="model",
        code="model_not_found",
    )


def unknown_model_id(models: Sequence[GatewayModel], base: str = "") -> Message:
    """Refuse the model that the path names, and name those that exist."""
    return _error(
        404,
        f"There is no model at %PATH(NQ:PATH):200%. {_existing(models, base)}",
        param="model",
        code="model_not_found",
    )


def missing_model(models: Sequence[GatewayModel], base: str = "") -> Message:
    """Refuse a body without a model's name."""
    return _error(
        400,
        "The body names no model: `model` must be a string at the top level of the JSON object. "
        + _existing(models, base),
        param="model",
        code="model_missing",
    )


def invalid_json() -> Message:
    """Refuse a body that is not a JSON object."""
    return _error(
        400,
        "The body is not a valid JSON object, so the model cannot be read from it. Send JSON with "
        "`model` at its top level.",
        code="invalid_json",
    )


def unknown_path(base: str = "") -> Message:
    """Refuse a path that leads nowhere."""
    return _error(
        404,
        f"Nothing is served at {_ASKED}. Ask POST {base}/v1/chat/completions, "
        f"{base}/v1/completions or {base}/v1/embeddings; GET {base}/v1/models lists the models.",
        code="unknown_url",
    )


def unknown_namespace() -> Message:
    """Refuse a path that begins with no namespace, and name none: they are private."""
    return _error(
        404,
        f"Nothing is served at {_ASKED}: the first part of the path has to be a namespace that has "
        "models here. The base URL of a namespace is /NAMESPACE/v1.",
        code="namespace_not_found",
    )


def cluster_welcome() -> Message:
    """Answer `GET /` in a cluster, where namespaces are private."""
    return _answer({"service": "smallmodel", "base_url": "/NAMESPACE/v1"})


def unavailable(model: str, why: Unavailable) -> Message:
    """Refuse a model that exists and cannot be asked now."""
    message = why.message.replace("%", "%%")
    reply = _error(
        503,
        f"The model `{model}` cannot answer now ({why.reason}): {message}",
        kind="server_error",
        param="model",
        code=str(why.reason),
    )
    return reply | {"response_headers_to_add": [header("retry-after", str(RETRY_AFTER_SECONDS))]}


def not_served_here() -> Message:
    """Refuse another gateway that asks for what is not served in this cluster."""
    reply = _error(
        503,
        f"The gateway of another cluster asked for {_ASKED}, and that model is not served in this "
        "cluster, or not any more. Ask again.",
        kind="server_error",
        param="model",
        code=str(Reason.NOT_SERVED_HERE),
    )
    added = [header("retry-after", str(RETRY_AFTER_SECONDS)), header(NOT_HERE_HEADER, "true")]
    return reply | {"response_headers_to_add": added}


def header(name: str, value: str) -> Message:
    """Return an instruction to set a header, whatever was there."""
    return {
        "header": {"key": name, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


def _existing(models: Sequence[GatewayModel], base: str) -> str:
    if not models:
        return "No model is served yet."
    names = ", ".join(model.name for model in models[:_NAMES_SHOWN])
    more = len(models) - _NAMES_SHOWN
    rest = f" and {more} more, which GET {base}/v1/models lists" if more > 0 else ""
    return f"Models here: {names}{rest}."


def _model(name: str) -> Message:
    # The same configuration has to be the same text, so there is no time of creation.
    return {"id": name, "object": "model", "created": 0, "owned_by": "smallmodel"}


def _answer(body: Message) -> Message:
    return {
        "direct_response": {
            "status": 200,
            "body": {"inline_string": json.dumps(body, sort_keys=True) + "\n"},
        },
        "response_headers_to_add": [header("content-type", "application/json")],
    }


def _error(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    code: str,
) -> Message:
    error: dict[str, Json] = {"message": message, "type": kind, "param": param, "code": code}
    return {
        "direct_response": {
            "status": status,
            "body_format": {"json_format": {"error": error}},
        }
    }
