"""`python -m smallmodel_operator.gateway.drain`: a pod's last act before its Envoy is ended."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from http.client import HTTPConnection, HTTPException
from typing import Final

from smallmodel_operator.plan.gateway.bootstrap import STAT_PREFIX

SETTLE_SECONDS: Final = 5.0
"""Meanwhile every node's kube-proxy forgets the pod, and new connections stop coming."""

_POLL_SECONDS: Final = 0.2
_ANSWER_SECONDS: Final = 2.0
_ACTIVE: Final = f"http.{STAT_PREFIX}.downstream_rq_active"


def drain(
    admin: str,
    *,
    within: float,
    settle: float = SETTLE_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int | None:
    """Have Envoy drain, and return when no request is left.

    Args:
        admin: Host and port of Envoy's admin page.
        within: Seconds after which to return in any case.
        settle: Seconds to wait at least.
        clock: Tells seconds.
        sleep: Waits.

    Returns:
        How many requests are left, or None where Envoy does not answer any more.
    """
    began = clock()
    try:
        _ask(admin, "POST", "/drain_listeners?graceful&skip_exit")
        while True:
            active = int(_ask(admin, "GET", f"/stats?filter=^{_ACTIVE}$").rpartition(": ")[2] or 0)
            passed = clock() - began
            if passed >= within or (active == 0 and passed >= settle):
                return active
            sleep(_POLL_SECONDS)
    except (OSError, HTTPException):
        return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Drain; the status is 0 unless requests were left."""
    parser = argparse.ArgumentParser(prog="python -m smallmodel_operator.gateway.drain")
    parser.add_argument("--admin", default="127.0.0.1:9901", metavar="HOST:PORT")
    parser.add_argument("--within", type=float, default=320.0, metavar="SECONDS")
    options = parser.parse_args(arguments)
    left = drain(options.admin, within=options.within)
    if left is None:
        print("Envoy does not answer; there is nothing to drain")  # noqa: T201 - a hook's log
    elif left:
        print(f"{left} requests were left after {options.within:g} s")  # noqa: T201 - a hook's log
    return 1 if left else 0


def _ask(admin: str, method: str, path: str) -> str:
    connection = HTTPConnection(admin, timeout=_ANSWER_SECONDS)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            raise HTTPException(f"{path} answers {answer.status}: {text}")
        return text
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
