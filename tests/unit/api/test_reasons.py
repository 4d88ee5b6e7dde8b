"""Every reason is explained, and said by something."""

import re
from pathlib import Path
from typing import Final

import pytest

from smallmodel_operator.api import patterns
from smallmodel_operator.api.reasons import EXPLANATIONS, Reason

ROOT: Final = Path(__file__).resolve().parents[3]


def test_every_reason_is_explained_and_nothing_else_is() -> None:
    assert set(EXPLANATIONS) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_one_camel_case_word_and_its_explanation_a_sentence(reason: Reason) -> None:
    assert re.match(patterns.REASON, reason)
    assert EXPLANATIONS[reason].endswith(".")


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_used_by_code_outside_its_list(reason: Reason) -> None:
    files = [
        path
        for folder in ("operator", "serving")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "reasons.py"
    ]
    pattern = re.compile(rf"\bReason\.{reason.name}\b")
    assert any(pattern.search(path.read_text(encoding="utf-8")) for path in files)
