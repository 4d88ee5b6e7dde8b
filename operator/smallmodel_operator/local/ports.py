"""A block of ports for one run, so that two runs on one machine never meet.

Serve's defaults collide between runs, one of them silently by a shared port. Each run therefore
takes a block of its own, whose first port it binds for as long as it lives.
"""

import socket
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.local.errors import LocalError

# Above Ray's worker ports (10002 to 19999) and below Linux' ephemeral ones (32768 and up).
_FIRST: Final = 20000
_LAST: Final = 32600
_BLOCK: Final = 200
_REPLICA_OFFSET: Final = 20
_REPLICA_PORTS: Final = 120
_GRPC_PORTS: Final = _BLOCK - _REPLICA_OFFSET - _REPLICA_PORTS


@dataclass(frozen=True, slots=True)
class PortBlock:
    """The ports of one run, held until `release`."""

    guard: socket.socket
    base: int

    def port(self, offset: int) -> int:
        """Return the block's port at an offset from 1 to 19."""
        if not 1 <= offset < _REPLICA_OFFSET:
            raise ValueError(f"offset {offset} is outside 1 to {_REPLICA_OFFSET - 1}")
        return self.base + offset

    @property
    def replicas(self) -> range:
        """Ports for the HTTP servers of replicas."""
        first = self.base + _REPLICA_OFFSET
        return range(first, first + _REPLICA_PORTS)

    @property
    def replicas_grpc(self) -> range:
        """Ports that Serve reserves for gRPC beside each replica; nothing listens there."""
        return range(self.replicas.stop, self.replicas.stop + _GRPC_PORTS)

    def release(self) -> None:
        """Let another run take the block."""
        self.guard.close()


def take_block() -> PortBlock:
    """Hold the first block whose ports are all free.

    Raises:
        LocalError: Every block is in use.
    """
    for base in range(_FIRST, _LAST - _BLOCK, _BLOCK):
        guard = _bind(base)
        if guard is None:
            continue
        if all(_is_free(base + offset) for offset in range(1, _BLOCK)):
            return PortBlock(guard, base)
        guard.close()
    raise LocalError(
        f"no block of {_BLOCK} free ports between {_FIRST} and {_LAST}; stop some `slm up`, or "
        "look at `ss -ltn` for what listens there"
    )


def is_free(host: str, port: int) -> bool:
    """Return whether a server could listen there now."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen(1)
    except OSError:
        return False
    return True


def _is_free(port: int) -> bool:
    return is_free("0.0.0.0", port)  # noqa: S104 - some of Serve's servers bind every address


def _bind(port: int) -> socket.socket | None:
    guard = socket.socket()
    try:
        guard.bind(("127.0.0.1", port))
        guard.listen(1)
    except OSError:
        guard.close()
        return None
    return guard
