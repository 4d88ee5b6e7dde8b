"""The verifying request: an answer of the right form passes, and nothing comes between."""

import json

import pytest

from builders.fake_chat_api import FakeChatApi, fake_chat_api
from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.probe import Answer, probe


async def ask(fake: FakeChatApi, task: Task = Task.CHAT) -> Answer:
    with fake_chat_api(fake):
        return await probe(f"http://127.0.0.1:{fake.port}/v1", "chat", task, timeout=10)


async def test_a_stream_with_tokens_passes_and_is_measured() -> None:
    fake = FakeChatApi()
    answer = await ask(fake)
    assert answer.passed
    assert answer.reason is Reason.VERIFIED
    assert answer.performance is not None
    assert fake.requests[0][0] == "/v1/chat/completions"


async def test_a_stream_without_a_token_does_not_pass() -> None:
    answer = await ask(FakeChatApi(pieces=()))
    assert not answer.passed
    assert answer.reason is Reason.PROBE_FAILED


async def test_a_reason_of_our_own_is_kept_and_not_asked_again() -> None:
    body = json.dumps({"error": {"code": "LoadFailed", "message": "no such tensor"}})
    answer = await ask(FakeChatApi(status=503, body=body))
    assert answer.reason is Reason.LOAD_FAILED
    assert "no such tensor" in answer.message
    assert not answer.worth_repeating


async def test_an_unknown_503_is_worth_asking_again() -> None:
    answer = await ask(FakeChatApi(status=503, body="not yet"))
    assert answer.reason is Reason.PROBE_FAILED
    assert answer.worth_repeating


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    assert (await ask(FakeChatApi())).passed
