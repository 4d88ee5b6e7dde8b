"""`slm up` with vLLM as the engine: from two manifests to an answer, without a GPU."""

from pathlib import Path
from typing import Final

import psutil
import pytest
import yaml

from builders.vllm_models import CARD, WITHOUT_ACCELERATOR, folder_card, planned_for
from smallmodel_operator.status.state import State
from support.live_run import LiveRun, live_run, tokens
from support.shared_memory import shared_memory

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

START_SECONDS: Final = 500
"""Ray's start, and then three processes one after the other that import vLLM."""


def unique_bytes(run: LiveRun) -> int:
    """The memory that the replica and vLLM's processes have for themselves."""
    processes = [psutil.Process(pid) for pid in run.pids()]
    return sum(
        process.memory_full_info().uss
        for process in processes
        if process.name().startswith(("VLLM", "ray::ServeReplica:chat"))
    )


def test_a_folder_of_safetensors_answers_through_slm_up(hf_folder: Path, tmp_path: Path) -> None:
    with live_run(tmp_path) as run:
        run.write("card.yaml", yaml.safe_dump(folder_card(hf_folder)))
        run.apply("chat", model=CARD, engine="VLLM", contextLength=1024)
        run.until(lambda: run.state("chat") == State.READY, deadline=START_SECONDS)

        answer = run.ask("chat", max_tokens=16, temperature=0, ignore_eos=True)
        assert answer.status_code == 200
        assert answer.json()["usage"]["completion_tokens"] == 16

        with run.stream("chat", "Hello", max_tokens=16, temperature=0, ignore_eos=True) as stream:
            streamed = "".join(tokens(stream))
        assert streamed == answer.json()["choices"][0]["message"]["content"]

        described = run.command("describe", "chat").stdout
        assert "VLLM" in described

        planned = planned_for(WITHOUT_ACCELERATOR, hf_folder).args.memory_bytes
        assert 0.8 * planned < unique_bytes(run) <= planned

        shared = shared_memory(run.pids())
        assert shared != set()
        run.stop()
        assert run.pids() == set()
        assert [path for path in shared if path.exists()] == []
