"""A replica that fetches its weights itself, by the real fetch program."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builders.replicas import model_args
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import FETCH_ENVIRONMENT_VARIABLE, ModelArgs, WeightsSource
from smallmodel_serving.runtime.engine import EngineError, check_weights
from smallmodel_serving.runtime.weights import obtain as obtaining
from smallmodel_serving.runtime.weights.obtain import obtain
from support.fake_hub import FakeHub
from support.fetching import get
from support.gguf_files import gguf_bytes

PATH = "/tiny.gguf"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    with FakeHub() as running:
        running.put(PATH, gguf_bytes(tmp_path))
        yield running


def args_for(hub: FakeHub, tmp_path: Path, **declared: Any) -> ModelArgs:
    """The arguments that the operator renders after a Job fetched the same elsewhere."""
    uri = f"{hub.url}{PATH}"
    sha256 = hashlib.sha256(hub.files[PATH].content).hexdigest()
    seen_by_the_job = get(uri, tmp_path / "job", sha256=sha256)
    cache = tmp_path / "worker"
    path = cache / Path(seen_by_the_job.path).relative_to(tmp_path / "job" / "cache")
    source = WeightsSource(**{"uri": uri, "sha256": sha256, "cache": str(cache)} | declared)
    return model_args(weights=path).model_copy(update={"sha256": sha256, "source": source})


def test_what_is_fetched_lies_where_the_arguments_say_and_is_verified(
    hub: FakeHub, tmp_path: Path
) -> None:
    args = args_for(hub, tmp_path)

    obtain(args)

    check_weights(Path(args.weights), args.sha256)
    assert Path(args.weights).read_bytes() == hub.files[PATH].content


def test_what_is_there_is_not_fetched_again(hub: FakeHub, tmp_path: Path) -> None:
    args = args_for(hub, tmp_path)
    obtain(args)
    seen = len(hub.requests)

    obtain(args)

    assert len(hub.requests) == seen


def test_without_a_source_nothing_is_fetched(tmp_path: Path) -> None:
    obtain(model_args(weights=tmp_path / "missing.gguf"))

    assert list(tmp_path.iterdir()) == []


def test_a_fetch_that_fails_says_why(hub: FakeHub, tmp_path: Path) -> None:
    args = args_for(hub, tmp_path, sha256="0" * 64)

    with pytest.raises(EngineError) as refused:
        obtain(args)

    assert refused.value.reason is Reason.DIGEST_MISMATCH
    assert "0" * 64 in refused.value.message


def test_a_file_of_the_worker_itself_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    args = args_for(hub, tmp_path, uri="file:///etc/passwd")

    with pytest.raises(EngineError) as refused:
        obtain(args)

    assert refused.value.reason is Reason.SOURCE_NOT_SUPPORTED


def test_a_fetch_that_ends_without_a_result_is_a_source_that_may_come_back(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = args_for(hub, tmp_path)
    monkeypatch.setattr(obtaining, "PROGRAM", "smallmodel_serving.not_there")

    with pytest.raises(EngineError) as refused:
        obtain(args)

    assert refused.value.reason is Reason.SOURCE_UNREACHABLE
    assert "ended with status 1" in refused.value.message
    assert "smallmodel_serving.not_there" in refused.value.message


def test_only_the_fetch_gets_the_variables_that_are_meant_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tells = tmp_path / "told.py"
    tells.write_text(
        "import os\n"
        "from smallmodel_operator.api.fetch import FetchDone\n"
        "print('a warning of a library')\n"
        "path = os.environ['ONLY_FOR_FETCHING']\n"
        "print(FetchDone(path=path, bytes=1, sha256=None).model_dump_json())\n"
        "print('another one')\n"
    )
    monkeypatch.setattr(obtaining, "PROGRAM", "told")
    source = WeightsSource(uri="https://nowhere.example/x.gguf", cache=str(tmp_path))
    args = model_args(weights=tmp_path / "x.gguf").model_copy(update={"source": source})
    mine = dict(os.environ) | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *_path()])}

    obtain(args, mine | {FETCH_ENVIRONMENT_VARIABLE: json.dumps({"ONLY_FOR_FETCHING": "/x"})})
    with pytest.raises(EngineError):
        obtain(args, mine)


def _path() -> list[str]:
    return os.environ.get("PYTHONPATH", "").split(os.pathsep)
