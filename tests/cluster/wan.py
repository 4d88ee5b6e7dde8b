"""Lines between clusters that are far from each other: delay, loss, a rate, and cuts.

By itself a cluster reaches the others over the machine. Once they are joined, each reaches the
others over its end of the lines alone, from which one may be behind a NAT. The machine itself
goes on reaching all of them, and all of them reach the machine: a test sees both sides of a cut.
"""

import dataclasses
import os
import signal
import sys
from collections.abc import Collection, Iterable, Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

from cluster import control
from cluster.commands import SYSTEM_PATH, attempt, run
from cluster.folders import STATE, TESTS
from cluster.problems import ClusterProblem
from cluster.relay import Line
from cluster.running import Cluster
from cluster.waiting import wait_until

DEVICE: Final = "wan0"
_NFT_TABLE: Final = "wan"


class Wan:
    """The lines between some clusters of one node each."""

    def __init__(self, name: str, clusters: Mapping[str, Cluster], nat: Collection[str]) -> None:
        """Name lines; `join` makes them, and a later run finds them by the same name.

        Args:
            name: Of the whole.
            clusters: By the names that orders use.
            nat: Those that reach the others and are reached by none.
        """
        self._clusters = dict(clusters)
        self._nat = frozenset(nat)
        # A cluster's name has no dot in front, so nobody takes this for one.
        self._control = STATE / f".wan-{name}.sock"
        self._lines: dict[frozenset[str], Line] = {}

    def join(self) -> None:
        """Join the clusters by lines that are as good as none. Safe to repeat."""
        for name, cluster in self._clusters.items():
            if cluster.record.options.nodes != 1:
                raise ClusterProblem(f"{name} has several nodes, and lines join clusters of one")
        if control.init_pid(self._control) is None:
            self._control.unlink(missing_ok=True)
            Path(f"{self._control}.new").unlink(missing_ok=True)
            _spawn(self._control)
            wait_until(
                lambda: control.init_pid(self._control) is not None,
                "the lines between clusters take orders",
                within=20,
            )
        for name in self._clusters:
            self.attach(name)

    def leave(self) -> None:
        """End all lines; the clusters reach each other over the machine again. Safe to repeat."""
        for name in self._clusters:
            pid = self._init(name)
            if pid is not None:
                self._inside(pid, "nft", "delete", "table", "ip", _NFT_TABLE, may_fail=True)
                for network in self._others(name):
                    self._inside(pid, "ip", "route", "delete", str(network), may_fail=True)
        pid = control.init_pid(self._control)
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            wait_until(
                lambda: control.init_pid(self._control) is None, "the lines are gone", within=20
            )
        for file in (self._control, self._control.with_suffix(".log")):
            file.unlink(missing_ok=True)

    def attach(self, name: str) -> None:
        """Give a cluster its end, also after its node was started anew."""
        cluster = self._clusters[name]
        pid = self._init(name)
        if pid is None:
            raise ClusterProblem(f"the node of {name} does not run: start it first")
        addresses = cluster.record.addresses
        node = addresses.node(0)
        self._order("open", end=name, pid=pid, device=DEVICE, networks=[str(_block(cluster))])
        inside = self._inside
        # Packets of the node itself, and of a NAT, leave with the node's own address.
        inside(pid, "ip", "address", "replace", f"{node.node}/32", "dev", DEVICE)
        inside(pid, "ip", "link", "set", DEVICE, "up")
        for network in self._others(name):
            inside(
                pid, "ip", "route", "replace", str(network), "dev", DEVICE, "src", str(node.node)
            )
        for other in self._clusters.values():
            machine = other.record.addresses.node(0).host
            if other is not cluster:
                inside(pid, "ip", "route", "replace", f"{machine}/32", "via", str(node.host))
        if name in self._nat:
            self._hide(pid)

    def set(self, one: str, other: str, **line: Any) -> None:
        """Have the line between two clusters be so; what is not named is as good as none."""
        self._put(frozenset((one, other)), Line(**line))

    def cut(self, one: str, *others: str) -> None:
        """Cut a cluster off from these, or from all others."""
        for pair in self._pairs(one, others):
            self._put(pair, dataclasses.replace(self._lines.get(pair, Line()), cut=True))

    def heal(self, one: str, *others: str) -> None:
        """End what `cut` did."""
        for pair in self._pairs(one, others):
            self._put(pair, dataclasses.replace(self._lines.get(pair, Line()), cut=False))

    def _pairs(self, one: str, others: Iterable[str]) -> list[frozenset[str]]:
        return [frozenset((one, other)) for other in others or self._clusters if other != one]

    def _put(self, pair: frozenset[str], line: Line) -> None:
        if len(pair) != 2 or not pair <= self._clusters.keys():
            raise ClusterProblem(
                f"{sorted(pair)} are not two of the clusters that are joined: "
                f"{', '.join(sorted(self._clusters))}"
            )
        self._order("line", ends=sorted(pair), line=dataclasses.asdict(line))
        self._lines[pair] = line

    def _hide(self, pid: int) -> None:
        """Have a cluster be behind a NAT: it asks the others, and none of them can ask it."""
        rules = (
            f"table ip {_NFT_TABLE} {{}}\n"
            f"delete table ip {_NFT_TABLE}\n"
            f"table ip {_NFT_TABLE} {{\n"
            "  chain out { type nat hook postrouting priority 100; "
            f'oifname "{DEVICE}" masquerade; }}\n'
            "  chain in { type filter hook prerouting priority -140; "
            f'iifname "{DEVICE}" ct state new drop; }}\n'
            "}\n"
        )
        self._inside(pid, "nft", "-f", "-", stdin=rules)

    def _others(self, name: str) -> list[IPv4Network]:
        return [_block(other) for key, other in self._clusters.items() if key != name]

    def _init(self, name: str) -> int | None:
        return control.init_pid(self._clusters[name].files.node(0).control)

    def _inside(
        self, pid: int, *command: str, stdin: str | None = None, may_fail: bool = False
    ) -> None:
        path = next(iter(self._clusters.values())).record.path
        environment = {"PATH": f"{path}:{SYSTEM_PATH}"}
        words = ("nsenter", f"--net=/proc/{pid}/ns/net", *command)
        if may_fail:
            attempt(*words, stdin=stdin, environment=environment)
        else:
            run(*words, stdin=stdin, environment=environment)

    def _order(self, verb: str, **fields: Any) -> None:
        control.order(self._control, verb, **fields)


def _block(cluster: Cluster) -> IPv4Network:
    return cluster.record.addresses.all


def _spawn(socket: Path) -> None:
    environment = {
        "PATH": SYSTEM_PATH,
        "PYTHONPATH": str(TESTS),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LANG": "C.UTF-8",
    }
    variables = [f"{name}={value}" for name, value in environment.items()]
    shell = 'exec >>"$1" 2>&1; shift; exec setsid --fork "$@"'
    log = socket.with_suffix(".log")
    run("sh", "-c", shell, "sh", log, "env", "--ignore-environment", *variables,
        sys.executable, "-m", "cluster.relay", socket, folder=Path("/"))  # fmt: skip
