"""The small rules of a replica: idle clock, threads, endpoints, token limits, counters."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallmodel_operator.api.modelcard import Task
from smallmodel_operator.api.reasons import Reason
from smallmodel_serving.runtime.asgi import RequestError
from smallmodel_serving.runtime.endpoints import check_endpoint, check_token_limit, json_object
from smallmodel_serving.runtime.guard import Starting, verdict
from smallmodel_serving.runtime.idle import seconds_until_sleep
from smallmodel_serving.runtime.metrics import token_counts
from smallmodel_serving.runtime.threads import engine_threads


def test_the_idle_clock_runs_from_the_last_use() -> None:
    left = seconds_until_sleep(last_use=100, in_flight=0, timeout=30, now=110)
    assert left == 20


def test_a_running_request_holds_the_idle_clock() -> None:
    assert seconds_until_sleep(last_use=0, in_flight=1, timeout=30, now=9999) == 30


@pytest.mark.parametrize(
    ("wanted", "cores", "others", "threads"),
    [(None, 4, 0, 4), (None, 4, 1, 3), (None, 1, 1, 1), (3, 8, 5, 3)],
)
def test_an_engine_takes_all_cores_alone_and_leaves_one_beside_others(
    wanted: int | None, cores: int, others: int, threads: int
) -> None:
    assert engine_threads(wanted=wanted, cores=cores, others_awake=others) == threads


@pytest.mark.parametrize(
    ("task", "path", "instead"),
    [
        (Task.CHAT, "/v1/embeddings", "embedding model"),
        (Task.CHAT, "/embeddings", "embedding model"),
        (Task.COMPLETION, "/v1/chat/completions", "/v1/completions"),
        (Task.COMPLETION, "/v1/embeddings", "embedding model"),
        (Task.EMBEDDING, "/v1/chat/completions", "/v1/embeddings"),
        (Task.EMBEDDING, "/v1/completions", "/v1/embeddings"),
    ],
)
def test_the_wrong_endpoint_is_refused_with_the_one_to_use(
    task: Task, path: str, instead: str
) -> None:
    with pytest.raises(RequestError) as caught:
        check_endpoint(task, "m", path)
    assert (caught.value.status, caught.value.reason) == (400, Reason.WRONG_ENDPOINT)
    assert instead in caught.value.message


@pytest.mark.parametrize(
    ("task", "path"),
    [
        (Task.CHAT, "/v1/chat/completions"),
        (Task.CHAT, "/v1/completions"),
        (Task.CHAT, "/tokenize"),
        (Task.COMPLETION, "/v1/completions"),
        (Task.EMBEDDING, "/v1/embeddings"),
    ],
)
def test_an_endpoint_of_the_task_passes(task: Task, path: str) -> None:
    check_endpoint(task, "m", path)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_a_limit_beyond_the_context_is_refused_by_name(name: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_token_limit({name: 5000}, 4096)
    assert (caught.value.status, caught.value.param) == (400, name)
    assert "5000" in caught.value.message
    assert "4096" in caught.value.message


@pytest.mark.parametrize(
    "body",
    [
        b'{"max_tokens": 4096}',
        b'{"max_tokens": null}',
        json.dumps({"messages": [{"content": '"max_tokens": 99999'}], "max_tokens": 5}).encode(),
        json.dumps({"metadata": {"max_tokens": 99999}}).encode(),
    ],
)
def test_every_other_limit_is_the_engines_affair(body: bytes) -> None:
    request = json_object(body)
    assert request is not None
    check_token_limit(request, 4096)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b'{"max_tokens": 99999',
        b'["max_tokens", {"max_tokens": 99999}]',
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_no_json_object_is_the_engines_affair(body: bytes) -> None:
    assert json_object(body) is None


@given(st.binary(max_size=200))
def test_no_body_breaks_the_reading(body: bytes) -> None:
    assert json_object(body) is None or isinstance(json_object(body), dict)


def test_the_counters_of_both_engines_are_read_and_added_up() -> None:
    text = (
        b"# TYPE vllm:prompt_tokens_total counter\n"
        b'vllm:prompt_tokens_total{engine="0",model_name="m"} 12.0\n'
        b'vllm:prompt_tokens_total{engine="1",model_name="m"} 1e2\n'
        b"llamacpp:tokens_predicted_total 5\n"
        b"llamacpp:tokens_predicted_seconds_total 9\n"
    )
    assert token_counts(text) == (112.0, 5.0)


@pytest.mark.parametrize(
    ("starting", "waited", "code"),
    [
        (None, 999, None),
        (Starting(running=1, failed=None, start_timeout=60), 999, None),
        (Starting(running=0, failed=None, start_timeout=60), 59, None),
        (Starting(running=0, failed=None, start_timeout=60), 60, Reason.START_TIMEOUT),
        (Starting(running=0, failed="broken", start_timeout=60), 1, Reason.DEPLOY_FAILED),
    ],
)
def test_a_held_request_is_answered_when_nothing_will_come(
    starting: Starting | None, waited: float, code: Reason | None
) -> None:
    error = verdict(starting, waited)
    assert (error.reason if error else None) == code
    assert error is None or error.status == 503
