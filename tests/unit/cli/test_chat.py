"""`slm chat` streams an answer, keeps the conversation, and shows the API's errors in one line."""

import io
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builders.fake_chat_api import FakeChatApi, fake_chat_api
from builders.runs import ready_report, record_run, run_status
from smallmodel_operator.cli.answers import ApiError, pieces, refusal
from smallmodel_operator.status.state import State
from support.command_line import Slm

SLM = Path(sys.executable).with_name("slm")
DEADLINE = 60.0


@pytest.fixture
def api() -> Iterator[FakeChatApi]:
    with fake_chat_api(FakeChatApi()) as fake:
        record_run(fake.port, status=run_status(ready_report()))
        yield fake


def test_once_prints_the_answer_and_asks_for_the_model_by_name(slm: Slm, api: FakeChatApi) -> None:
    outcome = slm("chat", "chat", "--once", "Hi")
    assert outcome.code == 0
    assert outcome.out == "Hello\n"
    [(path, body)] = api.requests
    assert path == "/v1/chat/completions"
    assert body == {
        "model": "chat",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
    }


def test_what_is_piped_in_is_one_prompt(
    slm: Slm, api: FakeChatApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("two\nlines"))
    assert slm("chat", "chat").out == "Hello\n"
    assert api.requests[0][1]["messages"][0]["content"] == "two\nlines"


def test_an_empty_pipe_is_a_wrong_usage(
    slm: Slm, api: FakeChatApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(" \n"))
    assert slm("chat", "chat").code == 2
    assert api.requests == []


@pytest.mark.parametrize(
    ("body", "line"),
    [
        pytest.param(
            json.dumps({"error": {"message": "the queue\nis full", "code": "overloaded"}}),
            "429: the queue is full",
            id="OpenAI's shape",
        ),
        pytest.param("Too many", "429: Too many", id="plain text"),
        pytest.param("", "429: no reason was given", id="nothing"),
    ],
)
def test_a_refusal_is_one_line_with_its_reason(
    slm: Slm, api: FakeChatApi, body: str, line: str
) -> None:
    api.status, api.body = 429, body
    outcome = slm("chat", "chat", "--once", "Hi")
    assert outcome.code == 1
    assert outcome.err == f"Error: {line}\n"


def test_an_answer_that_breaks_off_is_a_failure(slm: Slm, api: FakeChatApi) -> None:
    api.ends_properly = False
    outcome = slm("chat", "chat", "--once", "Hi")
    assert outcome.code == 1
    assert "broke off" in outcome.err


def test_an_endpoint_that_is_not_there_is_told(slm: Slm) -> None:
    with fake_chat_api(FakeChatApi()) as fake:
        port = fake.port
    record_run(port, status=run_status(ready_report()))
    outcome = slm("chat", "chat", "--once", "Hi")
    assert outcome.code == 1
    assert f"127.0.0.1:{port}" in outcome.err


@pytest.mark.parametrize(
    ("state", "word"),
    [(State.PARKED, "parked"), (State.ASLEEP, "asleep"), (State.FAILED, "failed")],
)
def test_a_model_that_is_not_awake_is_announced(
    slm: Slm, api: FakeChatApi, state: State, word: str
) -> None:
    record_run(api.port, status=run_status(ready_report(state=state)))
    assert word in slm("chat", "chat", "--once", "Hi").err


def test_an_error_in_the_stream_is_raised_with_its_message() -> None:
    lines = ['data: {"choices": []}', 'data: {"error": {"message": "the engine\\ndied"}}']
    with pytest.raises(ApiError, match=r"^the engine died$"):
        list(pieces(iter(lines)))


@pytest.mark.parametrize("line", ["data: <html>", 'data: {"choices": 3}'])
def test_what_is_no_event_of_a_chat_is_raised(line: str) -> None:
    with pytest.raises(ApiError, match="no event of a chat completion"):
        list(pieces(iter([line])))


def test_comments_roles_and_empty_deltas_are_no_text() -> None:
    lines = [
        ": keep-alive",
        "",
        'data: {"choices": [{"delta": {"role": "assistant"}}]}',
        'data: {"choices": [{"delta": {"content": "a"}}]}',
        'data: {"choices": [], "usage": {"total_tokens": 3}}',
        "data: [DONE]",
        'data: {"choices": [{"delta": {"content": "never read"}}]}',
    ]
    assert list(pieces(iter(lines))) == ["a"]


def test_an_errors_text_that_is_not_json_is_kept() -> None:
    assert refusal(502, "<b>bad</b>\n gateway") == "502: <b>bad</b> gateway"


# Who was started in the background of a script ignores Ctrl-C, and so would its children.
TAKE_TERMINAL = (
    "import fcntl, os, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """A program on a terminal of its own: types, and waits for what is printed."""

    def __init__(self, *command: str | Path) -> None:
        self._here, there = pty.openpty()
        # Ctrl-C becomes a signal only for who has the terminal, and taking it needs a session.
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, *map(str, command)],
            stdin=there,
            stdout=there,
            stderr=there,
            start_new_session=True,
        )
        os.close(there)
        self._seen = ""

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._here)

    def type(self, text: str) -> None:
        os.write(self._here, text.encode())

    def wait_for(self, text: str, *, pressing: str = "") -> None:
        """Read until the text was printed, and forget what came up to it.

        A key is pressed again and again: readline misses a Ctrl-C that comes right after its
        prompt, before it waits for keys.
        """
        deadline = time.monotonic() + DEADLINE
        while text not in self._seen:
            assert time.monotonic() < deadline, f"{text!r} was not printed: {self._seen!r}"
            self.type(pressing)
            if select.select([self._here], [], [], 0.5)[0]:
                self._seen += os.read(self._here, 4096).decode(errors="replace")
        self._seen = self._seen[self._seen.index(text) + len(text) :]

    def exit_code(self) -> int:
        return self.process.wait(timeout=DEADLINE)


def test_a_conversation_keeps_its_history_until_exit(api: FakeChatApi) -> None:
    with Terminal(SLM, "chat", "chat") as terminal:
        for prompt in ("first", "second"):
            terminal.wait_for(">>> ")
            terminal.type(f"{prompt}\r")
            terminal.wait_for("Hello")
        terminal.wait_for(">>> ")
        terminal.type("/exit\r")
        assert terminal.exit_code() == 0
    assert [turn["content"] for turn in _messages(api, 1)] == ["first", "Hello", "second"]


def test_ctrl_c_cancels_the_answer_and_keeps_the_conversation(api: FakeChatApi) -> None:
    api.pieces, api.endless = ("again ",), True
    with Terminal(SLM, "chat", "chat") as terminal:
        terminal.wait_for(">>> ")
        terminal.type("go on\r")
        terminal.wait_for("again again")
        terminal.type("\x03")
        terminal.wait_for("[stopped]")
        assert api.client_left.wait(DEADLINE), "the connection stayed open, so the engine goes on"
        terminal.wait_for(">>> ")
        terminal.type("\x04")
        assert terminal.exit_code() == 0


def test_a_refusal_does_not_end_the_conversation(api: FakeChatApi) -> None:
    api.status, api.body = 503, "no room"
    with Terminal(SLM, "chat", "chat") as terminal:
        terminal.wait_for(">>> ")
        terminal.type("\r")
        terminal.wait_for(">>> ")
        terminal.type("hi\r")
        terminal.wait_for("Error: 503: no room")
        terminal.wait_for(">>> ")
        terminal.type("/exit\r")
        assert terminal.exit_code() == 0


def test_ctrl_c_at_the_prompt_says_how_to_end(api: FakeChatApi) -> None:
    with Terminal(SLM, "chat", "chat") as terminal:
        terminal.wait_for(">>> ")
        terminal.wait_for("Use /exit or Ctrl-D to end.", pressing="\x03")
        terminal.type("/exit\r")
        assert terminal.exit_code() == 0
    assert api.requests == []


def _messages(api: FakeChatApi, index: int) -> Any:
    return api.requests[index][1]["messages"]
