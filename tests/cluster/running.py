"""A cluster of ours that runs: what tests do to it."""

import contextlib
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from ssl import SSLContext, create_default_context

from cluster import addons, control, machine, nodes
from cluster.access import KubeAccess
from cluster.addresses import API_PORT
from cluster.containers import kill_containers
from cluster.folders import ClusterFiles
from cluster.images import import_archive, tag_image
from cluster.options import ClusterRecord
from cluster.problems import ClusterProblem
from cluster.programs import CONTROL_PLANE
from cluster.waiting import wait_until

# Twice what the slowest start took with other builds running beside it.
START_LIMIT = 120.0


class Cluster(KubeAccess):
    """One cluster, made by `bringup.up` or found by its name.

    Attributes:
        name: what it was called.
        kubeconfig: of its administrator.
    """

    native = True

    def __init__(self, record: ClusterRecord) -> None:
        self.record = record
        self.name = record.options.name
        self.files = ClusterFiles(self.name)
        self._tls: SSLContext | None = None
        host = record.addresses.node(0).host
        super().__init__(self.files.kubeconfig("admin"), record.path, host)
        # What kubectl learns of an API it keeps by the server's address, and the next cluster
        # has the same.
        self._environment["KUBECACHEDIR"] = str(self.files.root / "kubectl-cache")

    @classmethod
    def find(cls, name: str) -> "Cluster":
        """Return a cluster that an earlier run brought up; ClusterProblem when there is none."""
        for record in machine.records():
            if record.options.name == name:
                return cls(record)
        raise ClusterProblem(f"there is no cluster {name}: `python -m cluster up {name}` makes it")

    def node_name(self, node: int = 0) -> str:
        """Return the name that Kubernetes knows the node by."""
        return self.files.node(node).name

    def programs(self, node: int = 0) -> dict[str, int | None]:
        """Return the programs of a node with their process ids, as the node numbers them."""
        listed = control.order(self.files.node(node).control, "list")["programs"]
        return {name: state["pid"] for name, state in listed.items()}

    def stop(self, program: str, node: int = 0) -> None:
        """End a program, and return when it has ended. It stays away until it is started."""
        control.order(self.files.node(node).control, "stop", program)

    def start(self, program: str, node: int = 0) -> None:
        """Start a program that was stopped, and return when it does its work."""
        heartbeat = self._lease(node) if program == "kubelet" else ""
        control.order(self.files.node(node).control, "start", program)
        if program in {"etcd", "kube-apiserver"}:
            self.wait_for_api_server()
        elif program == "kubelet":
            self.wait_for_node(node, newer_than=heartbeat)

    def restart(self, program: str, node: int = 0) -> None:
        """Stop a program, start it again, and return when it does its work."""
        self.stop(program, node)
        self.start(program, node)

    def kill(self, program: str, node: int = 0) -> None:
        """Kill a program, as an accident would; its node starts it again within some seconds."""
        control.order(self.files.node(node).control, "kill", program)

    def node_down(self, node: int = 0) -> None:
        """Cut a node's power."""
        nodes.stop_node(self.record, node)

    def node_up(self, node: int = 0) -> None:
        """Start a node again, and return when it is Ready."""
        nodes.start_node(self.record, node)
        self.start_programs(node, *CONTROL_PLANE)
        self.wait_for_api_server()
        heartbeat = self._lease(node) if self.record.options.kubelet else ""
        self.start_programs(node)
        if self.record.options.kubelet:
            self.wait_for_node(node, newer_than=heartbeat)

    def start_programs(self, node: int, *only: str) -> None:
        """Order all programs of a node, or some, to be started; they are not waited for."""
        for program in self.programs(node):
            if not only or program in only:
                control.order(self.files.node(node).control, "start", program)

    def logs(self, program: str, node: int = 0) -> str:
        """Return what a program of a node has printed since the cluster was made."""
        return self.log(program, node).read_text(errors="replace")

    def log(self, program: str, node: int = 0) -> Path:
        """Return the file with what a program has printed."""
        return self.files.node(0 if program in CONTROL_PLANE else node).log(program)

    def import_image(self, archive: Path) -> None:
        """Give the images of a docker-archive file to every node."""
        for node in range(self.record.options.nodes):
            import_archive(self.files.node(node), archive, self._ctr())

    def tag_image(self, name: str, other: str) -> None:
        """Have an image that every node has be there under another name as well."""
        for node in range(self.record.options.nodes):
            tag_image(self.files.node(node), name, other, self._ctr())

    def kill_containers(self, namespace: str, *pods: str) -> None:
        """Kill what runs in pods, as an accident would; the kubelet starts it again in place."""
        for node in range(self.record.options.nodes):
            kill_containers(self.files.node(node), namespace, pods, self._ctr())

    def _ctr(self) -> Path:
        ctr = shutil.which("ctr", path=self.record.path)
        if ctr is None:
            raise ClusterProblem(f"there is no ctr in {self.record.path}")
        return Path(ctr)

    def api_is_ready(self) -> bool:
        """Say whether the API server calls itself ready."""
        if self._tls is None:
            self._tls = create_default_context(cafile=str(self.files.pki / "ca.crt"))
            self._tls.load_cert_chain(self.files.pki / "admin.crt", self.files.pki / "admin.key")
        url = f"https://{self.record.addresses.api_server}:{API_PORT}/readyz"
        # A proxy that the environment names knows no way to the cluster.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._tls)
        )
        with contextlib.suppress(OSError), opener.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    def wait_for_api_server(self) -> float:
        """Return the seconds until the API server was ready."""
        logs = (self.log("kube-apiserver"), self.log("etcd"))
        return wait_until(self.api_is_ready, "the API server is ready", START_LIMIT, logs)

    def wait_for_node(self, node: int = 0, newer_than: str = "") -> float:
        """Return the seconds until a node was Ready, by a heartbeat newer than the one given.

        Right after a start, `Ready` is what was written before the end.
        """
        name = self.node_name(node)

        def ready() -> bool:
            path = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
            if self.try_kubectl("get", "node", name, "-o", path).stdout != "True":
                return False
            # A new node's first heartbeat may take ten seconds more than its first status.
            return not newer_than or self._lease(node) != newer_than

        logs = (self.log("kubelet", node), self.log("containerd", node))
        took = wait_until(ready, f"node {name} is Ready", START_LIMIT, logs)
        if self.record.options.fake_gpu:
            addons.pretend_gpus(self, name, self.record.options.fake_gpu)
        return took

    def _lease(self, node: int) -> str:
        """Return the time of a node's last heartbeat, empty when there was none."""
        return self.try_kubectl(
            "-n", "kube-node-lease", "get", "lease", self.node_name(node),
            "-o", "jsonpath={.spec.renewTime}",
        ).stdout  # fmt: skip
