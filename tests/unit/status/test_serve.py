"""Serve's messages are cut to the part that a person reads."""

import pytest

from smallmodel_operator.status.serve import clean

MESSAGES = {
    "a plain message stays": ("Deploying app 'chat'.", "Deploying app 'chat'."),
    "colours go": ("\x1b[36mray\x1b[39m is up", "ray is up"),
    "of a traceback the error's line stays": (
        "It failed. Error: Traceback (most recent call last):\n"
        '  File "a.py", line 1, in <module>\n    import nothing\n'
        "ModuleNotFoundError: No module named 'nothing'\n\nSystem error:\nWorker exits",
        "It failed. Error: ModuleNotFoundError: No module named 'nothing'",
    ),
    "of a remote error the last cause stays": (
        "Retrying 2 more time(s). Error: ray::ServeReplica:chat (pid=1)\n"
        '  File "b.py", line 2, in f\nRuntimeError: Traceback (most recent call last):\n'
        '  File "c.py", line 3, in g\nValueError: bad tag',
        "Retrying 2 more time(s). Error: ValueError: bad tag",
    ),
}


@pytest.mark.parametrize(("message", "expected"), MESSAGES.values(), ids=MESSAGES.keys())
def test_a_message_is_cleaned(message: str, expected: str) -> None:
    assert clean(message) == expected


def test_a_long_message_is_cut() -> None:
    assert clean("x" * 5000).endswith("x…")
    assert len(clean("x" * 5000)) < 1000
