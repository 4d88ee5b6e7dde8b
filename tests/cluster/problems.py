"""What goes wrong while a cluster is brought up or taken down, told in full."""

from pathlib import Path


class ClusterProblem(Exception):
    """Shown to the user as it is, without a traceback."""


def log_tail(path: Path, lines: int = 15) -> str:
    """Return the last lines of a log, under its name."""
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return f"--- {path}: there is no such file yet"
    last = text.splitlines()[-lines:]
    return "\n".join([f"--- the last lines of {path}:", *last])
