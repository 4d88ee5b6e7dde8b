"""What is told of a pass that failed: conflicts are counted, and what needs somebody is said."""

import logging
from collections import Counter

import pytest

from smallmodel_operator.clusters import errors
from smallmodel_operator.handlers.failures import log_failure


@pytest.mark.parametrize(
    ("error", "level", "counted"),
    [
        (errors.Conflict("a newer one is there", status=409), "DEBUG", 1),
        (errors.AlreadyExists("it is there", status=409), "DEBUG", 1),
        (errors.NameConflict("it is somebody else's"), "WARNING", 0),
        (errors.Unreachable("nobody answers"), "WARNING", 0),
        (ValueError("a defect"), "ERROR", 0),
    ],
)
def test_only_what_somebody_has_to_look_at_is_a_warning(
    error: Exception, level: str, counted: int, caplog: pytest.LogCaptureFixture
) -> None:
    conflicts: Counter[str] = Counter()
    with caplog.at_level(logging.DEBUG, logger="smallmodel_operator"):
        log_failure("model", lambda _: {}, conflicts)(("team", "chat"), error)

    assert [record.levelname for record in caplog.records] == [level]
    assert "model team/chat" in caplog.text
    assert conflicts["model"] == counted
