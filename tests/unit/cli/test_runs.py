"""Which run a command speaks of, and what `slm get` and `slm describe` print of it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

from builders.runs import MIB, ready_report, record_run, run_status
from smallmodel_operator.cli.commands.describe import memory_sum
from smallmodel_operator.local.state import ModelReport, ProblemReport, SizeReport
from smallmodel_operator.status.state import State
from support.command_line import Slm


def dead_process() -> int:
    """The pid of a process that was there and is gone."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_without_a_run_commands_say_how_to_start_one(slm: Slm) -> None:
    outcome = slm("get")
    assert outcome.code == 4
    assert "slm up FILE" in outcome.err


def test_one_run_needs_no_port(slm: Slm) -> None:
    record_run(8080, status=run_status(ready_report()))
    assert slm("get").code == 0


def test_of_several_runs_the_port_chooses(slm: Slm) -> None:
    record_run(8080, status=run_status(ready_report("first")))
    record_run(8081, status=run_status(ready_report("second")))
    ambiguous = slm("get")
    assert ambiguous.code == 2
    assert "8080, 8081" in ambiguous.err
    assert slm("get", "--port", "8081").out.splitlines()[1].startswith("second")


def test_a_port_without_a_run_names_those_that_have_one(slm: Slm) -> None:
    record_run(8080, status=run_status())
    outcome = slm("get", "--port", "9000")
    assert outcome.code == 4
    assert "no run at port 9000" in outcome.err
    assert "8080" in outcome.err


def test_a_run_whose_supervisor_is_gone_is_not_a_run(slm: Slm) -> None:
    pid = dead_process()
    record_run(8080, pid=pid, started=1.0, status=run_status(ready_report()))
    outcome = slm("get")
    assert outcome.code == 4
    assert f"pid {pid}" in outcome.err
    assert "slm up --port 8080" in outcome.err


def test_another_process_with_the_same_pid_is_not_the_supervisor(slm: Slm) -> None:
    record_run(8080, started=psutil.Process().create_time() - 3600, status=run_status())
    assert slm("get").code == 4


def test_a_dead_run_does_not_stand_in_the_way_of_a_live_one(slm: Slm) -> None:
    record_run(8080, pid=dead_process(), started=1.0)
    record_run(8081, status=run_status(ready_report()))
    assert slm("get").code == 0


def test_a_run_without_a_status_yet_says_that_it_is_starting(slm: Slm) -> None:
    record_run(8080)
    outcome = slm("get")
    assert outcome.code == 1
    assert "still starting" in outcome.err


def test_get_prints_one_row_for_each_model(slm: Slm) -> None:
    record_run(status=run_status(ready_report("a"), ready_report("b", state=State.PARKED)))
    header, *rows = slm("get").out.splitlines()
    assert re.split(r"\s{2,}", header) == [
        "NAME",
        "MODEL",
        "ENGINE",
        "VARIANT",
        "REPLICAS",
        "STATE",
        "URL",
    ]
    assert [re.split(r"\s{2,}", row) for row in rows] == [
        [
            name,
            "smollm2-135m-instruct",
            "LlamaCpp",
            "q4_1",
            "1/1",
            state,
            "http://127.0.0.1:8080/v1",
        ]
        for name, state in (("a", "Ready"), ("b", "Parked"))
    ]


def test_wide_adds_reason_memory_and_manifest(slm: Slm) -> None:
    record_run(status=run_status(ready_report()))
    row = slm("get", "-o", "wide").out.splitlines()[1]
    for words in ("Awake", "700 MiB", "4096", "models/chat.yaml"):
        assert words in row


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_objects_are_small_models_with_their_status(slm: Slm, form: str) -> None:
    record_run(status=run_status(ready_report()))
    read = yaml.safe_load if form == "yaml" else json.loads
    listed = read(slm("get", "-o", form).out)
    assert listed["kind"] == "List"
    one = read(slm("get", "chat", "-o", form).out)
    assert listed["items"] == [one]
    assert one["kind"] == "SmallModel"
    assert one["status"]["conditions"][1]["type"] == "Ready"


def test_a_model_that_the_run_does_not_have_names_the_nearest(slm: Slm) -> None:
    record_run(status=run_status(ready_report("chat")))
    outcome = slm("get", "chta")
    assert outcome.code == 4
    assert "did you mean chat?" in outcome.err


def test_a_name_that_is_like_none_gets_the_list(slm: Slm) -> None:
    record_run(status=run_status(ready_report("chat")))
    assert "the models are chat" in slm("describe", "zzz").err


def test_a_run_without_models_says_so_and_is_no_failure(slm: Slm) -> None:
    record_run(status=run_status())
    outcome = slm("get")
    assert outcome.code == 0
    assert "No models yet" in outcome.err
    assert "add a manifest" in slm("get", "chat").err


def test_manifests_that_were_not_taken_are_told_beside_the_table(slm: Slm) -> None:
    problem = ProblemReport(file="bad.yaml", line=4, field="spec.modle", message="no such field")
    record_run(status=run_status(ready_report(), problems=(problem,)))
    outcome = slm("get")
    assert outcome.code == 0
    assert outcome.err == "bad.yaml:4: spec.modle: no such field\n"


def test_describe_tells_resolution_memory_conditions_rejections_and_errors(slm: Slm) -> None:
    record_run(status=run_status(ready_report()))
    text = slm("describe", "chat").out
    for words in (
        "Name:              chat",
        "Engine:        LlamaCpp",
        "1 running, 0 at least, 1 at most (no room for 2)",
        "weights       94 MiB",
        "4096 tokens x 4 slots (16384) x 22 KiB",
        "total        700 MiB   of 4.0 GiB for models",
        "49 tokens/s",
        "Ready",
        "A verified revision answers",
        "EngineNotInstalled",
        "LoadFailed: out of memory",
    ):
        assert words in text


def test_describe_of_a_model_that_is_not_resolved_yet_leaves_out_what_is_unknown(
    slm: Slm,
) -> None:
    known = ready_report()
    fresh = ModelReport(
        file=known.file,
        model=known.model.model_copy(update={"status": type(known.model.status)()}),
        state=State.PENDING,
    )
    record_run(status=run_status(fresh))
    text = slm("describe", "chat").out
    assert "State:" in text
    for section in ("Memory", "Conditions", "Not taken", "Recent errors", "Verified", "Threads"):
        assert section not in text


def test_describe_as_data_has_the_size_in_bytes(slm: Slm) -> None:
    record_run(status=run_status(ready_report()))
    data = json.loads(slm("describe", "chat", "-o", "json").out)
    assert data["size"]["total"] == 700 * MIB


def test_declared_memory_is_shown_beside_what_was_computed() -> None:
    size = SizeReport(
        weights=100 * MIB,
        kv_cache=0,
        compute=0,
        process=100 * MIB,
        total=500 * MIB,
        kv_bytes_per_token=0,
        context_length=512,
        slots=1,
    )
    lines = list(memory_sum(size, 1024 * MIB))
    assert lines[-2].split() == ["sum", "200", "MiB"]
    assert "spec.resources.memory" in lines[-1]
    assert "tokens" not in lines[1]


def test_state_folders_are_left_as_they_were(slm: Slm, tmp_path: Path) -> None:
    record_run(status=run_status(ready_report()))
    before = sorted(path for path in tmp_path.rglob("*"))
    slm("get")
    slm("describe", "chat")
    assert sorted(path for path in tmp_path.rglob("*")) == before
