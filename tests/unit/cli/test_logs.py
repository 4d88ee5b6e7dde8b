"""`slm logs` finds the files of one model among those of Ray, and follows them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.runs import ready_report, record_run, run_status
from smallmodel_operator.cli.logs import Follower, model_logs, read_tail
from support.command_line import Slm

ACTOR = ":job_id:01000000\n:actor_name:ServeReplica:{name}:Model\n"


@pytest.fixture
def ray_logs(tmp_path: Path) -> Path:
    """A Ray session's logs as Ray 2.60 lays them out, of the models `chat` and `chat-2`."""
    folder = tmp_path / "session" / "logs"
    (folder / "serve").mkdir(parents=True)
    for name, worker in (("chat", "aa-01000000-11"), ("chat-2", "bb-01000000-12")):
        (folder / f"serve/replica_{name}_Model_x1.log").write_text(f"serve {name}\n")
        (folder / f"worker-{worker}.out").write_text(ACTOR.format(name=name) + f"out {name}\n")
        (folder / f"worker-{worker}.err").write_text(ACTOR.format(name=name) + f"engine {name}\n")
    (folder / "worker-cc-01000000-13.out").write_text(":job_id:01000000\n:actor_name:ProxyActor\n")
    (folder / "serve/controller_1.log").write_text("controller\n")
    return folder


def test_a_models_files_are_its_replicas_and_their_workers(ray_logs: Path) -> None:
    names = {path.name for path in model_logs(ray_logs, "chat")}
    assert names == {
        "replica_chat_Model_x1.log",
        "worker-aa-01000000-11.out",
        "worker-aa-01000000-11.err",
    }


def test_the_logs_of_a_model_are_printed_without_rays_marks(slm: Slm, ray_logs: Path) -> None:
    record_run(status=run_status(ready_report(), ray_logs=ray_logs))
    outcome = slm("logs", "chat")
    assert outcome.code == 0
    assert sorted(outcome.out.splitlines()) == ["engine chat", "out chat", "serve chat"]
    assert "==> replica_chat_Model_x1.log <==" in outcome.err


def test_a_model_without_logs_yet_is_told(slm: Slm, tmp_path: Path) -> None:
    record_run(status=run_status(ready_report(), ray_logs=tmp_path))
    outcome = slm("logs", "chat")
    assert outcome.code == 4
    assert "the model chat has not written a log yet" in outcome.err


def test_before_ray_starts_the_drivers_log_is_pointed_to(slm: Slm) -> None:
    record_run(status=run_status(ready_report()))
    assert "slm logs --driver" in slm("logs", "chat").err


def test_the_driver_and_the_gateway_have_logs_of_their_own(slm: Slm) -> None:
    folder = record_run(status=run_status())
    folder.driver_log.write_text("".join(f"line {n}\n" for n in range(100)), encoding="utf-8")
    folder.envoy.mkdir()
    (folder.envoy / "envoy.log").write_text("envoy started\n", encoding="utf-8")
    assert slm("logs", "--driver", "-n", "2").out == "line 98\nline 99\n"
    assert slm("logs", "--gateway").out == "envoy started\n"


@pytest.mark.parametrize("words", [[], ["chat", "--driver"], ["--driver", "--gateway"]], ids=str)
def test_exactly_one_subject_must_be_named(slm: Slm, words: list[str]) -> None:
    assert slm("logs", *words).code == 2


def test_following_prints_what_is_added_and_new_files_from_their_start(tmp_path: Path) -> None:
    old, new = tmp_path / "old.log", tmp_path / "new.log"
    old.write_text("before\n")
    follower = Follower({old: read_tail(old, 10).end})
    assert list(follower.read_new([old])) == []
    with old.open("a") as file:
        file.write("after\nhalf a li")
    new.write_text("first\n")
    assert list(follower.read_new([old, new])) == [(old, "after"), (new, "first")]
    with old.open("a") as file:
        file.write("ne\n")
    assert list(follower.read_new([old, new])) == [(old, "half a line")]


def test_a_file_that_was_rotated_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("a long line that was read\n")
    follower = Follower({path: read_tail(path, 1).end})
    path.write_text("new\n")
    assert list(follower.read_new([path])) == [(path, "new")]


def test_following_ends_with_ctrl_c_and_prints_the_tail_first(
    slm: Slm, ray_logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_run(status=run_status(ready_report(), ray_logs=ray_logs))
    steps = _steps(ray_logs / "serve/replica_chat_Model_x1.log")
    monkeypatch.setattr(Follower, "pause", lambda _self: next(steps))
    outcome = slm("logs", "chat", "-f", "-n", "1")
    assert outcome.code == 130
    assert outcome.out.splitlines()[-1] == "added"
    assert "serve chat" in outcome.out.splitlines()


def _steps(path: Path) -> Iterator[None]:
    """Add a line at the first pause, and press Ctrl-C at the second."""
    with path.open("a") as file:
        file.write("added\n")
    yield
    raise KeyboardInterrupt
