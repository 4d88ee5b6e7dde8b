"""Ports for servers that a test starts in other processes."""

import functools
import itertools
from collections.abc import Iterator

from smallmodel_operator.local.ports import PortBlock, is_free, take_block


def free_port() -> int:
    """Return a port of loopback for a server that is yet to start.

    It lies below the ports that the kernel gives to clients, and in a block that no other run
    takes: nothing can come between this answer and the server's bind.
    """
    return next(port for port in _ports() if is_free("127.0.0.1", port))


@functools.cache
def _ports() -> Iterator[int]:
    return itertools.cycle(_block().replicas)


@functools.cache
def _block() -> PortBlock:
    """Take a block that this process keeps to its end."""
    return take_block()
