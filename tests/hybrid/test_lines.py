"""The lines between clusters are what they say; other tests rest on that."""

import sys
from collections.abc import Iterator
from subprocess import CompletedProcess

import pytest

from cluster import control
from cluster.commands import attempt
from cluster.running import Cluster
from support.hybrid import CLOUD, EDGE, ONPREM, Hybrid

pytestmark = pytest.mark.hybrid


_CONNECT = """
import socket, sys
with socket.create_connection((sys.argv[1], 6443), timeout=2) as connection:
    connection.settimeout(2)
    # Half a greeting of TLS: an API server that hears it ends the connection.
    connection.sendall(bytes(8))
    print("connected", flush=True)
    connection.recv(1)
"""


def inside(source: Cluster, *command: str) -> CompletedProcess[str]:
    """Run a command in the network of a cluster's node."""
    pid = control.init_pid(source.files.node(0).control)
    return attempt("nsenter", f"--net=/proc/{pid}/ns/net", *command)


def answers(source: Cluster, target: Cluster) -> float | None:
    """Return the seconds until an API server took a connection, or None where it said nothing."""
    url = f"https://{target.record.addresses.api_server}:6443/readyz"
    done = inside(
        source, "curl", "-sk", "--max-time", "2", "-o", "/dev/null", "-w", "%{time_connect}", url
    )
    return None if done.returncode else float(done.stdout)


@pytest.fixture(autouse=True)
def _as_good_as_none(hybrid: Hybrid) -> Iterator[None]:
    yield
    hybrid.wan.set("cloud", "onprem")


def test_a_line_is_late(hybrid: Hybrid) -> None:
    hybrid.wan.set("cloud", "onprem", delay=60)
    seconds = answers(hybrid.clusters[CLOUD], hybrid.clusters[ONPREM])
    assert seconds is not None
    assert seconds >= 0.12


def test_a_line_is_cut_and_healed(hybrid: Hybrid) -> None:
    cloud, onprem = hybrid.clusters[CLOUD], hybrid.clusters[ONPREM]
    hybrid.wan.cut("onprem")
    assert answers(cloud, onprem) is None
    assert answers(onprem, cloud) is None
    hybrid.wan.heal("onprem")
    assert answers(cloud, onprem) is not None


def test_a_silent_line_makes_connections_in_which_nothing_is_said(hybrid: Hybrid) -> None:
    cloud, onprem = hybrid.clusters[CLOUD], hybrid.clusters[ONPREM]
    address = str(onprem.record.addresses.api_server)
    assert inside(cloud, sys.executable, "-c", _CONNECT, address).returncode == 0
    hybrid.wan.set("cloud", "onprem", silent=True)
    silent = inside(cloud, sys.executable, "-c", _CONNECT, address)
    assert "connected" in silent.stdout
    assert "timed out" in silent.stderr


def test_a_cluster_behind_a_nat_asks_and_is_not_asked(hybrid: Hybrid) -> None:
    cloud, edge = hybrid.clusters[CLOUD], hybrid.clusters[EDGE]
    assert answers(edge, cloud) is not None
    assert answers(cloud, edge) is None
