"""Golden files: what was rendered before, committed so that a change is seen and judged."""

import os
from pathlib import Path
from typing import Final

GOLDEN: Final = Path(__file__).parent.parent / "golden"


def check_golden(name: str, text: str) -> None:
    """Compare the text with the golden file, or write it where `make golden` asks for that."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"{path} is missing; run `make golden` and read what it wrote"
    assert text == path.read_text(encoding="utf-8"), "run `make golden` and read the difference"
