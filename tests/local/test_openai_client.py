"""The official OpenAI client, without retries, against a real `slm up`."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from support.bert_reference import ReferenceEncoder
from support.embedding_checks import check_embeddings
from support.live_run import LiveRun

pytestmark = pytest.mark.local

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def run(shared_run: LiveRun, minilm_gguf: Path) -> Iterator[LiveRun]:
    awake = {"scaling": {"idleTimeout": "1h"}}
    embed = awake | {"source": {"uri": f"file://{minilm_gguf}"}}
    with shared_run.serving(chat=awake, embed=embed) as run:
        yield run


@pytest.fixture
def client(run: LiveRun) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=run.url, api_key="none", max_retries=0) as client:
        yield client


def user(text: str) -> list[openai.types.chat.ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def test_a_chat_completion_has_text_usage_and_a_finish_reason(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=user("Hi"), max_tokens=6)
    assert answer.model == "chat"
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6


def test_a_stream_gives_the_text_of_the_plain_answer_and_its_usage(client: openai.OpenAI) -> None:
    plain = client.chat.completions.create(
        model="chat", messages=user("Name a colour"), max_tokens=12, temperature=0, seed=1
    )
    chunks = list(
        client.chat.completions.create(
            model="chat",
            messages=user("Name a colour"),
            max_tokens=12,
            temperature=0,
            seed=1,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == plain.choices[0].message.content
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens == 12
    assert len(chunks) > 6


def test_a_json_schema_is_kept(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="chat",
        messages=user("Name a city and how many people live there, as JSON."),
        max_tokens=80,
        temperature=0,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "city", "schema": SCHEMA, "strict": True},
        },
    )
    value = json.loads(answer.choices[0].message.content or "")
    assert set(value) == {"city", "people"}
    assert isinstance(value["people"], int)


def test_stop_seed_and_logprobs_are_honoured(client: openai.OpenAI) -> None:
    answers = [
        client.chat.completions.create(
            model="chat",
            messages=user("Count from one to nine"),
            max_tokens=8,
            seed=7,
            temperature=1.0,
            logprobs=True,
            top_logprobs=2,
        )
        for _ in range(2)
    ]
    assert answers[0].choices[0].message.content == answers[1].choices[0].message.content
    logprobs = answers[0].choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content
    assert len(logprobs.content[0].top_logprobs) == 2
    whole = answers[0].choices[0].message.content or ""
    stopped = client.chat.completions.create(
        model="chat",
        messages=user("Count from one to nine"),
        max_tokens=8,
        seed=7,
        temperature=1.0,
        stop=[whole[3:6]],
    )
    assert stopped.choices[0].finish_reason == "stop"
    assert whole[3:6] not in (stopped.choices[0].message.content or "")


def test_a_plain_completion_continues_a_prompt(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="chat", prompt="Once upon a", max_tokens=5)
    assert answer.choices[0].text
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5


def test_models_are_listed_by_name(client: openai.OpenAI) -> None:
    assert {model.id for model in client.models.list()} == {"chat", "embed"}
    assert client.models.retrieve("chat").id == "chat"


def test_embeddings_agree_with_the_reference(run: LiveRun, minilm_folder: Path) -> None:
    check_embeddings(run.url, "embed", ReferenceEncoder(minilm_folder))


def test_base64_embeddings_are_what_the_client_asks_for(client: openai.OpenAI) -> None:
    texts = ["a cat", "a kitten", "a tax form"]
    decoded = client.embeddings.create(model="embed", input=texts)
    plain = client.embeddings.create(model="embed", input=texts, encoding_format="float")
    assert [len(item.embedding) for item in decoded.data] == [384, 384, 384]
    assert decoded.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-5)


def test_an_unknown_model_is_not_found_and_the_known_ones_are_named(
    client: openai.OpenAI,
) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="chatt", messages=user("Hi"))
    assert caught.value.code == "model_not_found"
    assert "chat" in caught.value.message


def test_the_wrong_endpoint_for_a_task_is_refused_with_the_reason(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as chat:
        client.chat.completions.create(model="embed", messages=user("Hi"))
    assert "mbedding" in chat.value.message
    with pytest.raises(openai.BadRequestError) as embed:
        client.embeddings.create(model="chat", input="Hi")
    assert "chat" in embed.value.message


def test_a_prompt_beyond_the_context_is_refused_with_both_sizes(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="4096"):
        client.chat.completions.create(model="chat", messages=user("word " * 6000), max_tokens=1)


def test_invalid_json_is_refused_as_openai_does(run: LiveRun) -> None:
    answer = httpx.post(f"{run.url}/chat/completions", content=b'{"model": "chat", ')
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_plain_curl_and_a_charset_are_understood(run: LiveRun) -> None:
    body = json.dumps({"model": "chat", "messages": user("Hi"), "max_tokens": 2})
    for content_type in (
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-8",
        "text/plain",
    ):
        answer = httpx.post(
            f"{run.url}/chat/completions",
            content=body,
            headers={"content-type": content_type},
            timeout=60,
        )
        assert answer.status_code == 200, (content_type, answer.text)


def test_a_body_of_20_mib_passes_and_one_of_40_mib_is_refused(run: LiveRun) -> None:
    def post(mebibytes: int) -> httpx.Response:
        body = {"model": "embed", "input": "a cat", "user": "x" * (mebibytes * 2**20)}
        return httpx.post(f"{run.url}/embeddings", json=body, timeout=60)

    assert post(20).status_code == 200
    refused = post(40)
    assert refused.status_code == 413
    assert refused.json()["error"]["type"] == "invalid_request_error"


def test_a_missing_model_is_refused_and_the_known_ones_are_named(run: LiveRun) -> None:
    answer = httpx.post(f"{run.url}/chat/completions", json={"messages": user("Hi")})
    assert answer.status_code == 400
    assert "chat" in answer.json()["error"]["message"]


def test_the_direct_path_serves_those_who_want_no_gateway(run: LiveRun) -> None:
    report = run.report("chat")
    assert report is not None
    assert report.engine_url is not None
    body = {"messages": user("Hi"), "max_tokens": 2}
    for base in (report.engine_url, f"http://127.0.0.1:{run.port}/chat/v1"):
        answer = httpx.post(f"{base}/chat/completions", json=body, timeout=60)
        assert answer.status_code == 200, (base, answer.text)
