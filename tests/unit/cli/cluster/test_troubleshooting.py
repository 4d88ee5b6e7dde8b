"""The page that `slm describe` refers to has every reason that a cluster can give."""

import re
from pathlib import Path

from smallmodel_operator.api.reasons import Reason

PAGE = Path(__file__).parents[4] / "docs/how-to/troubleshoot-a-cluster.md"
LOCAL_ONLY = {Reason.DUPLICATE_NAME}
"""Two files that declare one name; an API server has one object."""


def test_each_reason_has_a_row() -> None:
    cells = re.findall(r"^\| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert {reason for reason in Reason if reason not in named} == LOCAL_ONLY


def test_no_row_is_about_a_reason_that_is_gone() -> None:
    cells = re.findall(r"^\| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`([A-Z]\w+)`", cell)}
    assert named <= set(Reason)
