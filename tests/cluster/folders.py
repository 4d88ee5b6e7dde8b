"""Where everything of a cluster lies."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# One place for the whole machine, because address blocks and sysctls belong to the machine.
STATE: Final = Path(os.environ.get("SMALLMODEL_CLUSTERS", "/var/lib/smallmodel-clusters"))
LOCKS: Final = Path("/run/lock")
TESTS: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class ClusterFiles:
    """The folder of one cluster."""

    name: str

    @property
    def root(self) -> Path:
        return STATE / self.name

    @property
    def record(self) -> Path:
        return self.root / "cluster.json"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def etcd(self) -> Path:
        return self.root / "etcd"

    @property
    def audit_policy(self) -> Path:
        """Which calls the API server writes down."""
        return self.root / "audit-policy.json"

    @property
    def audit_log(self) -> Path:
        """Where it writes them down, beside what the programs print."""
        return self.node(0).log("audit")

    def kubeconfig(self, user: str) -> Path:
        return self.root / f"{user}.kubeconfig"

    def node(self, number: int) -> "NodeFiles":
        return NodeFiles(self, number)


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """The folder of one node."""

    cluster: ClusterFiles
    number: int

    @property
    def name(self) -> str:
        """The node's name in Kubernetes, its file names and its cgroup."""
        return f"{self.cluster.name}-{self.number}"

    @property
    def cgroup(self) -> str:
        return f"slm-{self.name}"

    @property
    def root(self) -> Path:
        return self.cluster.root / "nodes" / str(self.number)

    @property
    def configuration(self) -> Path:
        return self.root / "etc"

    @property
    def logs(self) -> Path:
        return self.root / "log"

    @property
    def plan(self) -> Path:
        """What the node's init process does."""
        return self.root / "init.json"

    @property
    def control(self) -> Path:
        """Where the node's init process takes orders."""
        return self.root / "init.sock"

    @property
    def containerd(self) -> Path:
        return self.root / "containerd.sock"

    def log(self, program: str) -> Path:
        return self.logs / f"{program}.log"

    def kubelet_user(self) -> str:
        return f"kubelet-{self.number}"
