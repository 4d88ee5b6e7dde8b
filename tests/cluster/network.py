"""The link between a node's network namespace and the machine, and the routes over it."""

import json
from ipaddress import IPv4Network
from pathlib import Path

from cluster.addresses import ALL, ClusterAddresses
from cluster.commands import attempt, run
from cluster.problems import ClusterProblem


def require_free_range() -> None:
    """Raise ClusterProblem when the machine has a route of its own into the clusters' range."""
    for route in json.loads(run("ip", "-json", "-4", "route", "show", "table", "main")):
        if route["dst"] == "default" or str(route.get("dev", "")).startswith("slm"):
            continue
        if route.get("type") == "unreachable" and route["dst"] == str(ALL):
            continue
        if IPv4Network(route["dst"]).overlaps(ALL):
            raise ClusterProblem(
                f"this machine has a route to {route['dst']}, and clusters use {ALL}, which is "
                "reserved for tests. Remove the route, or use another machine"
            )


def connect(addresses: ClusterAddresses, number: int, pid: int) -> None:
    """Join a node's network namespace to the machine's.

    Args:
        addresses: of the cluster.
        number: of the node.
        pid: a process in the namespace.
    """
    node = addresses.node(number)
    inside = ("nsenter", f"--net=/proc/{pid}/ns/net")
    disconnect(node.link)
    run("ip", "link", "add", node.link, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    run("ip", "address", "add", f"{node.host}/{node.prefix}", "dev", node.link)
    run("ip", "link", "set", node.link, "up")
    # For this link alone, so that the machine does not become a router between its own networks.
    Path(f"/proc/sys/net/ipv4/conf/{node.link}/forwarding").write_text("1")
    run(*inside, "ip", "address", "add", f"{node.node}/{node.prefix}", "dev", "eth0")
    run(*inside, "ip", "link", "set", "lo", "up")
    run(*inside, "ip", "link", "set", "eth0", "up")
    # No default route: nothing in a cluster reaches further than other clusters and this machine.
    run(*inside, "ip", "route", "replace", str(ALL), "via", str(node.host))
    run(*inside, "ip", "route", "replace", "unreachable", str(node.pods))
    add_host_routes(addresses, number)


def add_host_routes(addresses: ClusterAddresses, number: int) -> None:
    """Lead the machine to the pods of a node, and over the first node to the services."""
    run("ip", "route", "replace", "unreachable", str(ALL))
    node = addresses.node(number)
    reached = [node.pods, addresses.services] if number == 0 else [node.pods]
    for network in reached:
        run("ip", "route", "replace", str(network), "via", str(node.node))


def disconnect(link: str) -> None:
    """Remove a link with its routes; the kernel does so too, but only some time later.

    Raises:
        ClusterProblem: it is still there.
    """
    # The kernel may be first, between any look and the removal.
    tried = attempt("ip", "link", "delete", link)
    if tried.returncode and Path("/sys/class/net", link).exists():
        raise ClusterProblem(f"the link {link} cannot be removed: {tried.stderr.strip()}")


def remove_range() -> None:
    """Remove the route that keeps the clusters' packets on this machine."""
    attempt("ip", "route", "delete", "unreachable", str(ALL))
