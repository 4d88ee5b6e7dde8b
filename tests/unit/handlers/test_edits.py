"""Edits of what is ours are told, and counted."""

import logging
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from smallmodel_operator.clusters.events import About, Events, EventType
from smallmodel_operator.handlers.edits import EDIT_TAKEN_BACK, Edits
from smallmodel_operator.handlers.metrics import edit_measures

LIVE = {
    "apiVersion": "ray.io/v1",
    "kind": "RayService",
    "metadata": {
        "name": "cpu",
        "namespace": "team",
        "uid": "u",
        "managedFields": [
            {
                "manager": "kubectl-edit",
                "time": "2026-01-01T00:00:00Z",
                "fieldsV1": {"f:spec": {"f:serveConfigV2": {}}},
            }
        ],
    },
    "spec": {"serveConfigV2": "mine"},
}


@dataclass
class FakeEvents:
    """Notes what would be written."""

    written: list[tuple[str, str, EventType]] = field(default_factory=list)

    async def record(self, about: About, reason: str, message: str, *, type_: EventType) -> None:
        assert about.uid == "u"
        self.written.append((reason, message, type_))


def _wanted(config: str) -> dict[str, Any]:
    return LIVE | {"spec": {"serveConfigV2": config}}


async def test_an_edit_is_logged_written_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    events = FakeEvents()
    edits = Edits(cast("Events", events), "munich")
    with caplog.at_level(logging.WARNING):
        await edits.tell(LIVE, _wanted("decided"))
    ((reason, message, type_),) = events.written
    assert (reason, type_) == (EDIT_TAKEN_BACK, EventType.WARNING)
    assert "spec.serveConfigV2 (kubectl-edit, 2026-01-01T00:00:00Z)" in message
    assert message in caplog.text
    (sample,) = edit_measures([("munich", edits.taken_back)]).samples
    assert (sample.labels, sample.value) == ({"cluster": "munich"}, 1)


async def test_of_what_is_as_it_is_to_be_nothing_is_told() -> None:
    events = FakeEvents()
    edits = Edits(cast("Events", events), "munich")
    await edits.tell(LIVE, _wanted("mine"))
    assert events.written == []
    assert edits.taken_back == 0
