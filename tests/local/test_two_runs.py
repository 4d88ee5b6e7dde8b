"""Two `slm up` on one machine."""

from pathlib import Path

import pytest

from smallmodel_operator.status.state import State
from support.live_run import live_run

pytestmark = pytest.mark.local


def test_two_runs_serve_beside_each_other_and_a_third_on_the_same_port_is_refused(
    tmp_path: Path, bundled_gguf: Path
) -> None:
    state = tmp_path / "state"
    with live_run(tmp_path / "a", state=state) as first:
        first.apply("one")
        first.until_state("one", State.READY)
        with live_run(tmp_path / "b", state=state) as second:
            second.apply("two")
            second.until_state("two", State.READY)
            assert first.ask("one", max_tokens=2).status_code == 200
            assert second.ask("two", max_tokens=2).status_code == 200
            assert first.ask("two").status_code == 404
            assert not set(first.status().ports.values()) & set(second.status().ports.values())

            again = first.command(
                "up", str(first.manifests), "--port", str(first.port), check=False
            )
            assert again.returncode == 6
            assert f"pid {first.process.pid}" in again.stderr
            assert "Traceback" not in again.stderr

            unclear = first.command("get", check=False)
            assert unclear.returncode != 0
            assert "--port" in unclear.stderr
            assert "two" in first.command("get", "--port", str(second.port)).stdout
        assert first.ask("one", max_tokens=2).status_code == 200
        first.command("down")
        assert first.process.wait(timeout=10) == 0
