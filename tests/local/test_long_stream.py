"""A stream of minutes outlives what happens to other models meanwhile."""

import time
from pathlib import Path

import pytest

from smallmodel_operator.status.state import State
from support.live_run import live_run, tokens

pytestmark = pytest.mark.local

SECONDS = 200
TOKENS = 4000
# Beyond its own end the model would stray among tokens that are no text, and nothing would arrive.
WORDS = "root ::= [a-z ]+"


@pytest.mark.timeout(420)
def test_a_stream_of_200_seconds_survives_another_models_scaling(
    tmp_path: Path, bundled_gguf: Path
) -> None:
    """The reader takes its time, and each start and end of the other reloads HAProxy."""
    with live_run(tmp_path) as run:
        run.apply("long", contextLength=8192, scaling={"requestTimeout": "6m"})
        run.apply("other", contextLength=512, scaling={"idleTimeout": "1s", "parkAfter": "5s"})
        run.until_state("long", State.READY)
        parked = woken = received = 0
        with run.stream("long", max_tokens=TOKENS, ignore_eos=True, grammar=WORDS) as response:
            began = time.monotonic()
            for received, _ in enumerate(tokens(response), start=1):
                due = began + SECONDS * received / TOKENS
                while time.monotonic() < due:
                    if run.state("other") is State.PARKED:
                        parked += 1
                        assert run.ask("other", max_tokens=1).status_code == 200
                        woken += 1
                    time.sleep(0.01)
        lasted = time.monotonic() - began
    assert received > TOKENS * 0.95
    assert lasted > SECONDS * 0.95
    assert parked == woken >= 3
