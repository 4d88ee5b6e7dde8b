"""`python -m smallmodel_operator.install.ask`: asks a model a question, as any client would.

`helm test` runs it. Only the shape of the answer is looked at: what a model says is its own.
"""

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any, Final

QUESTION: Final = "Write one short sentence about the sea."
_PAUSE_SECONDS: Final = 3.0
_REQUEST_SECONDS: Final = 120.0
_PASSING: Final = frozenset({404, 408, 429, 500, 502, 503, 504})
"""What an endpoint says while a model is fetched, loaded or woken."""


class NoAnswer(Exception):
    """No proper answer came; the message says what came, and what to do."""


def ask(
    base_url: str,
    model: str,
    patience: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> str:
    """Return a model's answer, waiting for the model for `patience` seconds.

    Raises:
        NoAnswer: None came in that time, or something that is no answer.
    """
    deadline = clock() + patience
    while True:
        try:
            return _text(_post(f"{base_url}/chat/completions", model), base_url)
        except urllib.error.HTTPError as error:
            said = f"{error.code} {error.read(500).decode(errors='replace').strip()}"
            if error.code not in _PASSING:
                raise NoAnswer(f"{base_url} refused the question: {said}") from error
        except OSError as error:
            said = str(error)
        if clock() >= deadline:
            raise NoAnswer(
                f"{model} at {base_url} did not answer within {patience:g} s, and said last: "
                f"{said}; `kubectl describe smallmodel {model}` says what it waits for"
            )
        pause(_PAUSE_SECONDS)


def _post(url: str, model: str) -> Any:  # whatever JSON comes back
    body = {
        "model": model,
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": 32,
    }
    request = urllib.request.Request(  # noqa: S310 - the chart's own address
        url, json.dumps(body).encode(), {"content-type": "application/json"}
    )
    # No proxy stands between a pod and a Service.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=_REQUEST_SECONDS) as reply:
        try:
            return json.load(reply)
        except ValueError as error:
            raise NoAnswer(f"{url} answered with something that is no JSON: {error}") from error


def _text(reply: Any, base_url: str) -> str:
    try:
        text = reply["choices"][0]["message"]["content"]
        tokens = reply["usage"]["completion_tokens"]
    except (KeyError, IndexError, TypeError) as error:
        raise NoAnswer(f"{base_url} sent no chat completion: {json.dumps(reply)[:500]}") from error
    if not isinstance(text, str) or not tokens:
        raise NoAnswer(f"{base_url} sent an empty completion: {json.dumps(reply)[:500]}")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask, print the answer, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m smallmodel_operator.install.ask")
    parser.add_argument("--url", required=True, help="ends with /v1")
    parser.add_argument("--model", required=True)
    parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS")
    options = parser.parse_args(arguments)
    try:
        text = ask(options.url, options.model, options.timeout)
    except NoAnswer as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{options.model} answered: {text.strip()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
