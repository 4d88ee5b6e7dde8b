"""Arithmetic on RFC 3339 times; the time itself is always an argument."""

from datetime import datetime, timedelta


def after(time: str, seconds: float) -> str:
    """Return the time that many seconds later, in whole seconds."""
    later = datetime.fromisoformat(time) + timedelta(seconds=seconds)
    return later.strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_between(earlier: str, later: str) -> float:
    """Return the seconds from one time to the other; negative where they are the other way."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
