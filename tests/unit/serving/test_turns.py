"""Engines that share a device start one after another, in threads and in processes."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from smallmodel_serving.runtime.turns import device_turn

DEVICES = "CUDA_VISIBLE_DEVICES"
SECONDS = 10


class Starter:
    """Somebody who takes a turn in a thread, and stays in it until told to leave."""

    def __init__(self, turn: Callable[[], AbstractContextManager[None]]) -> None:
        self.inside = threading.Event()
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(turn,), daemon=True)
        self._thread.start()

    def leave(self) -> None:
        self._leave.set()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()

    def _run(self, turn: Callable[[], AbstractContextManager[None]]) -> None:
        with turn():
            self.inside.set()
            self._leave.wait(SECONDS)


@pytest.mark.parametrize(("first", "second"), [("0", "0"), ("0,1", "1,0"), ("GPU-a/b", "GPU-a/b")])
def test_a_second_one_waits_until_the_first_has_started(
    tmp_path: Path, first: str, second: str
) -> None:
    one = Starter(device_turn(tmp_path / "node", {DEVICES: first}))
    assert one.inside.wait(SECONDS)
    other = Starter(device_turn(tmp_path / "node", {DEVICES: second}))
    assert not other.inside.wait(0.1)

    one.leave()
    assert other.inside.wait(SECONDS)
    other.leave()


@pytest.mark.parametrize(("first", "second"), [("0", "1"), ("0", ""), ("", "")])
def test_engines_of_other_devices_or_of_none_do_not_wait(
    tmp_path: Path, first: str, second: str
) -> None:
    with device_turn(tmp_path, {DEVICES: first})(), device_turn(tmp_path, {DEVICES: second})():
        pass


def test_without_a_node_folder_there_is_nobody_to_wait_for(tmp_path: Path) -> None:
    turn = device_turn(None, {DEVICES: "0"})
    with turn(), turn():
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_start_that_failed_ends_its_turn(tmp_path: Path) -> None:
    turn = device_turn(tmp_path, {DEVICES: "0"})
    with pytest.raises(RuntimeError), turn():
        raise RuntimeError("out of memory")
    after = Starter(turn)
    assert after.inside.wait(SECONDS)
    after.leave()


def test_one_that_is_killed_while_it_starts_holds_up_nobody(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from smallmodel_serving.runtime.turns import device_turn\n"
        "with device_turn(Path(sys.argv[1]), {'CUDA_VISIBLE_DEVICES': '0'})():\n"
        "    print('starts', flush=True)\n"
        "    time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"starts\n"
        waiting = Starter(device_turn(tmp_path, {DEVICES: "0"}))
        assert not waiting.inside.wait(0.1)
        child.send_signal(signal.SIGKILL)
        assert waiting.inside.wait(SECONDS)
    waiting.leave()
