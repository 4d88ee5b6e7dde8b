"""Giving orders to a node's init process."""

import json
import socket
import struct
from pathlib import Path
from typing import Any

from cluster.problems import ClusterProblem


def init_pid(control: Path) -> int | None:
    """Return the process that takes orders there, as this machine numbers it; None: nobody.

    The kernel tells it, so a file left by an ended process never names a stranger.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        try:
            connection.connect(str(control))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", peer)[0]
    return pid


def order(
    control: Path, verb: str, program: str = "", within: float = 30, **fields: Any
) -> dict[str, Any]:
    """Give an order and return the answer, which for `stop` comes when the program has ended.

    Args:
        control: where the orders are taken.
        verb: what is to be done.
        program: with which program of a node.
        within: seconds that it may take.
        fields: what else the order says.

    Raises:
        ClusterProblem: nobody is there, or the order cannot be obeyed.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(within)
        try:
            connection.connect(str(control))
            connection.sendall(
                json.dumps({"do": verb, "program": program, **fields}).encode() + b"\n"
            )
            line = connection.makefile("r").readline()
        except (FileNotFoundError, ConnectionRefusedError) as absent:
            raise ClusterProblem(f"nobody takes orders at {control}") from absent
        except TimeoutError as late:
            raise ClusterProblem(f"{verb} {program} was not done after {within:g} s") from late
    answer: dict[str, Any] = json.loads(line or '{"error": "the node ended meanwhile"}')
    if "error" in answer:
        raise ClusterProblem(f"{verb} {program}: {answer['error']}")
    return answer
