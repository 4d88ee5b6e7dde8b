"""The lines between clusters: a process that carries packets between network namespaces.

It opens a TUN device in the namespace of each end, and sends a packet on to the end whose networks
have its destination, when the line between the two lets it through and as late as the line says.
Its orders come over a Unix socket, a line of JSON each, as those of a node's init process do:
`open` makes an end's device (again, after its namespace was made anew), `line` says how a line
is. Standard library only: it runs beside the clusters, and outlives what started it.
"""

import contextlib
import ctypes
import fcntl
import heapq
import json
import os
import random
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, Final

# <linux/if_tun.h>, <sched.h>
TUNSETIFF: Final = 0x400454CA
IFF_TUN: Final = 0x0001
IFF_NO_PI: Final = 0x1000
CLONE_NEWNET: Final = 0x40000000

LARGEST_PACKET: Final = 65535
# Bytes that wait for a line with a rate; what comes beyond them is lost, as in a router.
QUEUE_BYTES: Final = 2**20
TCP: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How a line between two ends is, in both directions.

    Attributes:
        delay: milliseconds one way.
        jitter: milliseconds at most beside that.
        loss: the share of packets that are lost.
        rate: Mbit/s; 0 has no limit.
        cut: whether nothing passes.
        silent: whether connections are made and then nothing is said in them.
    """

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    rate: float = 0.0
    cut: bool = False
    silent: bool = False


@dataclass(slots=True)
class End:
    """One end: its networks, and the device in its namespace while there is one."""

    networks: tuple[IPv4Network, ...]
    device: int | None = None


@dataclass(slots=True)
class Direction:
    """One direction of a line."""

    free_at: float = 0.0
    waiting: int = 0


@dataclass(order=True, slots=True)
class Packet:
    """A packet that is on its way."""

    due: float
    number: int
    content: bytes = field(compare=False)
    source: str = field(compare=False)
    target: str = field(compare=False)


class Relay:
    """Carries packets until it is killed.

    Attributes:
        ends: by name.
        on_the_way: packets by when they arrive.
    """

    def __init__(self) -> None:
        self.ends: dict[str, End] = {}
        self._lines: dict[frozenset[str], Line] = {}
        self._directions: dict[tuple[str, str], Direction] = {}
        self.on_the_way: list[Packet] = []
        self._number = 0
        self._selector = selectors.DefaultSelector()
        self._random = random.Random()  # noqa: S311 - no secret

    def serve(self, path: Path) -> None:
        """Carry packets and take orders, for ever."""
        with socket.socket(socket.AF_UNIX) as listener:
            # Bound under another name first: whoever finds the socket can connect to it.
            listener.bind(f"{path}.new")
            listener.listen()
            Path(f"{path}.new").rename(path)
            self._selector.register(listener, selectors.EVENT_READ, None)
            while True:
                for key, _events in self._selector.select(self._pause()):
                    if key.data is None:
                        self._take_order(listener.accept()[0])
                    else:
                        self._read(key.data)
                self._deliver()

    def _pause(self) -> float | None:
        if not self.on_the_way:
            return None
        return max(0.0, self.on_the_way[0].due - time.monotonic())

    def _take_order(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5)
            try:
                line = connection.makefile("r").readline()
                if not line:
                    # Somebody only asked the kernel who listens here.
                    return
                answer = self._obey(json.loads(line))
            except (OSError, ValueError, KeyError, TypeError) as problem:
                answer = {"error": repr(problem)}
            with contextlib.suppress(OSError):
                connection.sendall(json.dumps(answer).encode() + b"\n")

    def _obey(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        match order["do"]:
            case "open":
                networks = tuple(IPv4Network(network) for network in order["networks"])
                self._open(order["end"], int(order["pid"]), order["device"], networks)
            case "line":
                self.set_line(order["ends"], Line(**order["line"]))
            case "list":
                return {"ends": {name: end.device is not None for name, end in self.ends.items()}}
            case verb:
                raise ValueError(f"{verb!r} is none of open, line, list")
        return {}

    def set_line(self, ends: Iterable[str], line: Line) -> None:
        """Have the line between two ends be so."""
        self._lines[frozenset(ends)] = line

    def _open(self, name: str, pid: int, device: str, networks: tuple[IPv4Network, ...]) -> None:
        before = self.ends.get(name)
        if before is not None:
            self._close(before)
        end = End(networks=networks, device=open_tun(pid, device))
        self.ends[name] = end
        assert end.device is not None
        self._selector.register(end.device, selectors.EVENT_READ, name)

    def _close(self, end: End) -> None:
        if end.device is not None:
            self._selector.unregister(end.device)
            os.close(end.device)
            end.device = None

    def _read(self, source: str) -> None:
        """Take every packet that an end has sent by now."""
        end = self.ends[source]
        while end.device is not None:
            try:
                content = os.read(end.device, LARGEST_PACKET)
            except BlockingIOError:
                return
            except OSError:
                # Its namespace is gone.
                self._close(end)
                return
            self.send(content, source)

    def send(self, content: bytes, source: str) -> None:
        """Put a packet on the way that an end sent, if its line lets it pass."""
        target = self._target(content)
        if target is None or target == source:
            return
        line = self._lines.get(frozenset((source, target)), Line())
        if line.cut or self._random.random() < line.loss or (line.silent and has_payload(content)):
            return
        direction = self._directions.setdefault((source, target), Direction())
        if direction.waiting > QUEUE_BYTES:
            return
        now = time.monotonic()
        sent_at = max(now, direction.free_at)
        if line.rate:
            sent_at += len(content) * 8 / (line.rate * 1e6)
        direction.free_at = sent_at
        direction.waiting += len(content)
        due = sent_at + (line.delay + self._random.uniform(0, line.jitter)) / 1000
        self._number += 1
        packet = Packet(due, self._number, content, source, target)
        heapq.heappush(self.on_the_way, packet)

    def _target(self, content: bytes) -> str | None:
        """Return the end whose networks have the destination of a packet."""
        if len(content) < 20 or content[0] >> 4 != 4:
            return None
        destination = IPv4Address(content[16:20])
        for name, end in self.ends.items():
            if any(destination in network for network in end.networks):
                return name
        return None

    def _deliver(self) -> None:
        now = time.monotonic()
        while self.on_the_way and self.on_the_way[0].due <= now:
            packet = heapq.heappop(self.on_the_way)
            self._directions[packet.source, packet.target].waiting -= len(packet.content)
            end = self.ends[packet.target]
            cut = self._lines.get(frozenset((packet.source, packet.target)), Line()).cut
            if end.device is None or cut:
                continue
            # A full or vanished device loses the packet.
            with contextlib.suppress(OSError):
                os.write(end.device, packet.content)


def has_payload(content: bytes) -> bool:
    """Return whether a packet is of TCP and carries more than its headers."""
    if content[9] != TCP:
        return False
    header = (content[0] & 0x0F) * 4
    if len(content) < header + 20:
        return False
    return len(content) > header + (content[header + 12] >> 4) * 4


def open_tun(pid: int, name: str) -> int:
    """Return a TUN device of that name in the network namespace of a process."""
    libc = ctypes.CDLL(None, use_errno=True)
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        other = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        try:
            _enter(libc, other)
        finally:
            os.close(other)
        try:
            device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(
                device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI)
            )
        finally:
            _enter(libc, own)
    finally:
        os.close(own)
    return device


def _enter(libc: ctypes.CDLL, namespace: int) -> None:
    if libc.setns(namespace, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


def main(control: str) -> None:
    """Be the relay that takes orders at that socket."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    Relay().serve(Path(control))


if __name__ == "__main__":
    main(sys.argv[1])
