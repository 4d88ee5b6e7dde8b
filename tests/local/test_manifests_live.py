"""Manifests that come, change and go while `slm up` runs, and models that fail beside good ones."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.status.state import State, find
from support.live_run import LiveRun, tokens

pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def run(shared_run: LiveRun) -> Iterator[LiveRun]:
    steady = {"scaling": {"idleTimeout": "1h"}, "contextLength": 8192}
    with shared_run.serving(steady=steady) as run:
        yield run


def test_a_stream_runs_on_while_other_models_come_change_and_go(run: LiveRun) -> None:
    with run.stream("steady", max_tokens=7000, ignore_eos=True) as response:
        pieces = tokens(response)
        assert next(pieces)
        run.apply("guest", contextLength=512)
        run.until_state("guest")
        run.apply("guest", contextLength=1024)
        run.until(lambda: _context(run, "guest") == 1024)
        run.until_state("guest")
        assert run.ask("guest", max_tokens=2).status_code == 200
        run.delete("guest")
        run.until(lambda: run.report("guest") is None)
        for _ in range(50):
            assert next(pieces)
    assert run.ask("guest").status_code == 404
    assert run.ask("steady", max_tokens=2).status_code == 200


def _context(run: LiveRun, name: str) -> int | None:
    report = run.report(name)
    return report.size.context_length if report and report.size else None


def test_a_new_bound_reaches_a_model_without_a_restart(run: LiveRun) -> None:
    before = run.until_state("steady", State.READY)
    with run.stream("steady", max_tokens=4000, ignore_eos=True) as response:
        pieces = tokens(response)
        assert next(pieces)
        run.apply("steady", scaling={"idleTimeout": "50m", "maxReplicas": 2}, contextLength=8192)
        run.until(lambda: _generation(run, "steady") > before.model.metadata.generation)
        for _ in range(50):
            assert next(pieces)
    after = run.until_state("steady", State.READY)
    assert after.model.status.serving_hash == before.model.status.serving_hash


def _generation(run: LiveRun, name: str) -> int:
    report = run.report(name)
    return report.model.status.observed_generation if report else 0


def test_a_file_that_breaks_leaves_its_model_running(run: LiveRun) -> None:
    good = (run.manifests / "steady.yaml").read_text()
    run.write("steady.yaml", "kind: [SmallModel\n")
    run.until(lambda: run.status().problems)
    assert run.status().problems[0].file.endswith("steady.yaml")
    assert run.ask("steady", max_tokens=2).status_code == 200
    run.write("steady.yaml", good)
    run.until(lambda: not run.status().problems)


def test_a_model_whose_weights_are_not_gguf_fails_with_the_reason(
    run: LiveRun, tmp_path: Path
) -> None:
    file = tmp_path / "broken.gguf"
    file.write_bytes(b"this is no model" * 100)
    run.apply("broken", source={"uri": f"file://{file}"})
    report = run.until_state("broken", State.FAILED)
    ready = find(report.model.status, ConditionType.READY)
    assert ready is not None
    assert ready.reason == "InvalidWeights"
    refused = run.ask("broken")
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "InvalidWeights"
    assert "retry-after" in refused.headers
    assert run.ask("steady", max_tokens=2).status_code == 200
    run.delete("broken")


def test_weights_that_the_engine_refuses_fail_within_seconds_with_its_words(
    run: LiveRun, bundled_gguf: Path, tmp_path: Path
) -> None:
    """A header that passes every check, and an architecture that llama.cpp does not know."""
    file = tmp_path / "strange.gguf"
    text = bundled_gguf.read_bytes()
    file.write_bytes(
        text.replace(b"llama.", b"lluma.").replace(
            b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0lluma"
        )
    )
    run.apply("strange", source={"uri": f"file://{file}"}, resources={"memory": "1Gi"})
    report = run.until_state("strange", State.FAILED)
    ready = find(report.model.status, ConditionType.READY)
    assert ready is not None
    assert ready.reason == "LoadFailed"
    refused = run.ask("strange")
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "LoadFailed"
    run.delete("strange")


def test_a_replica_that_is_killed_is_replaced_and_its_client_is_told(run: LiveRun) -> None:
    with run.stream("steady", max_tokens=3000, ignore_eos=True) as response:
        pieces = tokens(response)
        assert next(pieces)
        run.process_of("ray::ServeReplica:steady").kill()
        with pytest.raises(Exception, match=r"peer closed|incomplete|disconnected"):
            list(pieces)
    answer = run.ask("steady", max_tokens=2)
    assert answer.status_code in {200, 503}
    if answer.status_code != 200:
        assert answer.json()["error"]["message"]
    run.until(lambda: run.ask("steady", max_tokens=2).status_code == 200)


def test_what_asks_only_for_state_answers_from_the_gateway(run: LiveRun) -> None:
    base = run.url.removesuffix("/v1")
    for path in ("/health", "/v1/models", "/v1/models/steady", "/metrics"):
        assert httpx.get(base + path, timeout=10).status_code == 200, path
