"""Lines of the log for machines, each with the object that it speaks of."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from smallmodel_operator.handlers.logs import JsonFormatter, named

LOG = logging.getLogger("smallmodel_operator.test")


class Kept(logging.Handler):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept()
    handler.setFormatter(JsonFormatter())
    LOG.addHandler(handler)
    yield handler
    LOG.removeHandler(handler)


def test_a_line_is_one_object_with_its_extra_fields(kept: Kept) -> None:
    LOG.warning("it is %s", "so\nand so", extra={"pool": "cpu-1", "tries": 3})
    (line,) = kept.lines
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": LOG.name,
        "message": "it is so\nand so",
        "pool": "cpu-1",
        "tries": 3,
    }


def test_an_exception_is_part_of_its_line(kept: Kept) -> None:
    try:
        raise ValueError("no")
    except ValueError:
        LOG.exception("failed")
    assert "ValueError: no" in kept.lines[0]["exception"]


async def test_what_is_said_while_an_object_is_worked_on_has_its_name(kept: Kept) -> None:
    async def work(key: str) -> str:
        # What it waits for may say something too, and others are worked on meanwhile.
        await asyncio.gather(say(key), asyncio.to_thread(LOG.warning, key))
        return key

    async def say(key: str) -> None:
        await asyncio.sleep(0)
        LOG.warning(key)

    with_name = named(work, lambda key: {"namespace": key})
    assert await asyncio.gather(*map(with_name, "abc")) == ["a", "b", "c"]
    LOG.warning("nothing")

    assert len(kept.lines) == 7
    said = [(line["message"], line.get("namespace", "nothing")) for line in kept.lines]
    assert [pair for pair in said if pair[0] != pair[1]] == []
