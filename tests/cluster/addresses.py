"""Which addresses a cluster uses.

All lie in 198.18.0.0/15, which RFC 2544 keeps for tests of network devices: no machine's own
network lies there, and one route keeps every packet for it from leaving the machine.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

ALL: Final = IPv4Network("198.18.0.0/15")
_PER_CLUSTER: Final = 4096
CLUSTERS: Final = ALL.num_addresses // _PER_CLUSTER
# The upper half of a cluster's 4096 addresses is for pods, 256 of them for each node.
NODES: Final = 8
API_PORT: Final = 6443


@dataclass(frozen=True, slots=True)
class ClusterAddresses:
    """The addresses of one cluster on this machine.

    Args:
        index: which of the machine's clusters it is, from 0.
    """

    index: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < CLUSTERS:
            raise ValueError(f"cluster index {self.index}: there is room for 0 to {CLUSTERS - 1}")

    @property
    def _first(self) -> IPv4Address:
        return ALL[self.index * _PER_CLUSTER]

    @property
    def all(self) -> IPv4Network:
        """All addresses of the cluster."""
        return IPv4Network((self._first, 20))

    @property
    def services(self) -> IPv4Network:
        return IPv4Network((self._first + 256, 24))

    @property
    def api_service(self) -> IPv4Address:
        """Where pods reach the API server; Kubernetes takes the first address of the range."""
        return self.services[1]

    @property
    def dns_service(self) -> IPv4Address:
        return self.services[10]

    @property
    def pods(self) -> IPv4Network:
        return IPv4Network((self._first + 2048, 21))

    @property
    def api_server(self) -> IPv4Address:
        """The first node also runs the control plane."""
        return self.node(0).node

    def node(self, number: int) -> "NodeAddresses":
        if not 0 <= number < NODES:
            raise ValueError(
                f"node {number}: a cluster has room for {NODES} nodes, 0 to {NODES - 1}"
            )
        link = self._first + 4 * number
        return NodeAddresses(
            link=f"slm{self.index}n{number}",
            host=link + 1,
            node=link + 2,
            pods=IPv4Network((self._first + 2048 + 256 * number, 24)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAddresses:
    """One node's link to the host: both its ends, and the pods behind it.

    Attributes:
        link: the name of the host's end.
        host: the address of the host's end; a server that listens there is reached by pods.
        node: the address of the node's end.
        pods: the addresses of the pods on this node.
    """

    link: str
    host: IPv4Address
    node: IPv4Address
    pods: IPv4Network
    prefix: int = 30
