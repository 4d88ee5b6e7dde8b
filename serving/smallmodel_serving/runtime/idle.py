"""The idle clock: when an engine that nobody uses gives its memory back."""


def seconds_until_sleep(*, last_use: float, in_flight: int, timeout: float, now: float) -> float:
    """Return how long the engine stays awake yet if nobody uses it; zero or less is now.

    Args:
        last_use: When the last counted use began or ended, in seconds of the clock of `now`.
        in_flight: Requests that run, probes included: none is ever cut off by sleep.
        timeout: The idle timeout in seconds.
        now: The time.
    """
    if in_flight:
        return timeout
    return last_use + timeout - now
