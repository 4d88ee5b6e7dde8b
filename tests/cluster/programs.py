"""The command lines of the programs on a node."""

from collections.abc import Mapping
from typing import Final

from cluster.addresses import API_PORT, ClusterAddresses
from cluster.audit import audit_flags
from cluster.folders import ClusterFiles, NodeFiles
from cluster.pki import DOMAIN

CONTROL_PLANE: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
NODE: Final = ("containerd", "kubelet", "kube-proxy")

# Four large CRDs take the API server from 275 to 750 MiB, or to 485 MiB with this.
SPARE_MEMORY: Final[Mapping[str, Mapping[str, str]]] = {"kube-apiserver": {"GOGC": "40"}}


def command_lines(
    files: ClusterFiles, addresses: ClusterAddresses, number: int, *, kubelet: bool
) -> dict[str, list[str]]:
    """Return what runs on that node, in the order in which it is started."""
    lines: dict[str, list[str]] = {}
    if number == 0:
        lines |= {
            "etcd": _etcd(files),
            "kube-apiserver": _api_server(files, addresses),
            "kube-controller-manager": _controller_manager(files, addresses),
            "kube-scheduler": ["kube-scheduler", *_as_user(files, "scheduler")],
        }
    if kubelet:
        node = files.node(number)
        lines |= {
            "containerd": ["containerd", "--config", f"{node.configuration}/containerd.toml"],
            "kubelet": _kubelet(node, addresses),
            "kube-proxy": ["kube-proxy", f"--config={node.configuration}/kube-proxy.yaml"],
        }
    return lines


def _etcd(files: ClusterFiles) -> list[str]:
    peer, client = "http://127.0.0.1:2380", "http://127.0.0.1:2379"
    return [
        "etcd",
        "--name=etcd",
        f"--data-dir={files.etcd}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=etcd={peer}",
        # Nothing here has to survive a loss of power.
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _api_server(files: ClusterFiles, addresses: ClusterAddresses) -> list[str]:
    pki = files.pki
    return [
        "kube-apiserver",
        "--etcd-servers=http://127.0.0.1:2379",
        f"--advertise-address={addresses.api_server}",
        "--bind-address=0.0.0.0",
        f"--secure-port={API_PORT}",
        f"--service-cluster-ip-range={addresses.services}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--profiling=false",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-key-file={pki}/service-accounts.pub",
        f"--service-account-signing-key-file={pki}/service-accounts.key",
        f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
        f"--requestheader-client-ca-file={pki}/front-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={pki}/front.crt",
        f"--proxy-client-key-file={pki}/front.key",
        *audit_flags(files),
    ]


def _controller_manager(files: ClusterFiles, addresses: ClusterAddresses) -> list[str]:
    pki = files.pki
    return [
        "kube-controller-manager",
        *_as_user(files, "controller-manager"),
        f"--service-account-private-key-file={pki}/service-accounts.key",
        f"--root-ca-file={pki}/ca.crt",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        "--use-service-account-credentials=true",
        f"--cluster-cidr={addresses.pods}",
        f"--service-cluster-ip-range={addresses.services}",
        # Its default is a folder of the machine's.
        f"--flex-volume-plugin-dir={files.root}/volume-plugins",
    ]


def _as_user(files: ClusterFiles, user: str) -> list[str]:
    kubeconfig = files.kubeconfig(user)
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        # With the default of 20 the controller manager takes 5 s to start instead of 2.
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--profiling=false",
    ]


def _kubelet(node: NodeFiles, addresses: ClusterAddresses) -> list[str]:
    return [
        "kubelet",
        f"--config={node.configuration}/kubelet.yaml",
        f"--kubeconfig={node.cluster.kubeconfig(node.kubelet_user())}",
        "--root-dir=/var/lib/kubelet",
        f"--cert-dir={node.root}/pki",
        f"--hostname-override={node.name}",
        f"--node-ip={addresses.node(node.number).node}",
        "--v=2",
    ]
