"""The question of `helm test`: it waits for a model, and tells an answer from anything else."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from smallmodel_operator.install.ask import NoAnswer, ask, main

COMPLETION = {
    "choices": [{"message": {"role": "assistant", "content": "The sea is wide."}}],
    "usage": {"completion_tokens": 5},
}


@contextmanager
def fake_endpoint(*replies: tuple[int, object]) -> Iterator[tuple[str, list[object]]]:
    """An endpoint that gives these replies in turn, the last one for ever."""
    left = list(replies)
    asked: list[object] = []

    class FakeEndpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            status, reply = left.pop(0) if len(left) > 1 else left[0]
            body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), FakeEndpoint) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/team/v1", asked
        finally:
            server.shutdown()
            thread.join()


class FakeTime:
    """A clock that moves only when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def asked(url: str, patience: float = 60.0) -> str:
    time = FakeTime()
    return ask(url, "chat", patience, clock=time.clock, pause=time.pause)


def test_an_answer_is_returned() -> None:
    with fake_endpoint((200, COMPLETION)) as (url, requests):
        assert asked(url) == "The sea is wide."
    (request,) = requests
    assert isinstance(request, dict)
    assert request["model"] == "chat"


@pytest.mark.parametrize("status", [404, 429, 500, 503])
def test_a_model_that_is_on_its_way_is_waited_for(status: int) -> None:
    replies = [(status, {}), (status, {}), (200, COMPLETION)]
    with fake_endpoint(*replies) as (url, requests):
        assert asked(url) == "The sea is wide."
    assert len(requests) == 3


def test_waiting_ends_with_what_was_said_last_and_the_next_step() -> None:
    with (
        fake_endpoint((503, {"error": {"code": "MemoryFit"}})) as (url, requests),
        pytest.raises(NoAnswer, match=r"within 9 s.*503.*MemoryFit.*kubectl describe"),
    ):
        asked(url, patience=9)
    assert len(requests) == 4


def test_a_refusal_is_not_waited_out() -> None:
    with (
        fake_endpoint((403, {"error": {"code": "namespace_forbidden"}})) as (url, requests),
        pytest.raises(NoAnswer, match=r"refused the question: 403.*namespace_forbidden"),
    ):
        asked(url)
    assert len(requests) == 1


def test_an_endpoint_that_is_not_there_is_waited_for() -> None:
    with fake_endpoint((200, COMPLETION)) as (url, _):
        pass
    with pytest.raises(NoAnswer, match=r"did not answer within 5 s.*refused"):
        asked(url, patience=5)


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (b"<html>", "no JSON"),
        ({}, "no chat completion"),
        ([], "no chat completion"),
        ({"choices": []}, "no chat completion"),
        ({**COMPLETION, "usage": {"completion_tokens": 0}}, "an empty completion"),
        ({**COMPLETION, "choices": [{"message": {"content": None}}]}, "an empty completion"),
    ],
)
def test_what_is_no_answer_is_told_apart(reply: object, told: str) -> None:
    with fake_endpoint((200, reply)) as (url, _), pytest.raises(NoAnswer, match=told):
        asked(url)


def test_the_program_prints_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_endpoint((200, COMPLETION)) as (url, _):
        assert main(["--url", url, "--model", "chat"]) == 0
    assert capsys.readouterr().out == "chat answered: The sea is wide.\n"


def test_the_program_fails_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_endpoint((403, {})) as (url, _):
        assert main(["--url", url, "--model", "chat"]) == 1
    assert "refused the question: 403" in capsys.readouterr().err
