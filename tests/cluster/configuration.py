"""The configuration files of a node's programs."""

import json
import os
from typing import Any, Final

from cluster.addresses import ClusterAddresses
from cluster.folders import NodeFiles
from cluster.images import PAUSE
from cluster.options import ClusterOptions
from cluster.pki import DOMAIN

# What a single machine without those file systems would complain about at every start.
_UNUSED_PLUGINS: Final = [
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.erofs",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.nri.v1.nri",
    "io.containerd.tracing.processor.v1.otlp",
    "io.containerd.internal.v1.tracing",
]


def write_configuration(
    node: NodeFiles, addresses: ClusterAddresses, options: ClusterOptions
) -> None:
    """Write all files below the node's `etc`."""
    folder = node.configuration
    (folder / "cni").mkdir(parents=True, exist_ok=True)
    # Pods get no name server of the machine's: outside names fail at once instead of hanging.
    (folder / "resolv.conf").write_text("")
    (folder / "containerd.toml").write_text(containerd(node))
    for file, content in (
        ("cni/10-smallmodel.conflist", cni(addresses, node.number)),
        ("kubelet.yaml", kubelet(node, addresses, options.memory)),
        ("kube-proxy.yaml", kube_proxy(node, addresses, options.proxy_mode)),
    ):
        (folder / file).write_text(json.dumps(content, indent=1))


def containerd(node: NodeFiles) -> str:
    """Return containerd's configuration, in its version 3 (containerd 2.x)."""
    return f"""version = 3
root = "{node.root}/containerd"
state = "/run/containerd"
disabled_plugins = {json.dumps(_UNUSED_PLUGINS)}

[grpc]
  address = "{node.containerd}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{node.root}/containerd/opt"

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{PAUSE}"

[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  # Lowering a process's OOM score needs a capability that containers and some machines lack.
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "{node.configuration}/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        BinaryName = "/usr/sbin/runc"
        SystemdCgroup = false
"""


def cni(addresses: ClusterAddresses, number: int) -> dict[str, Any]:
    """Return the pod network: a link of its own for every pod, which needs no bridge."""
    links = {
        "type": "ptp",
        "mtu": 1500,
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "dataDir": "/var/lib/cni/ipam",
            "ranges": [[{"subnet": str(addresses.node(number).pods)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "smallmodel", "plugins": [links, ports]}


def kubelet(node: NodeFiles, addresses: ClusterAddresses, memory: int | None) -> dict[str, Any]:
    """Return the kubelet's configuration; `memory` is what pods may have, MiB."""
    pki = node.cluster.pki
    reserved = {"systemReserved": {"memory": f"{_rest(memory)}Mi"}} if memory else {}
    return reserved | {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "0.0.0.0",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "oomScoreAdj": 0,
        "failSwapOn": False,
        "maxOpenFiles": 20000,
        "containerRuntimeEndpoint": f"unix://{node.containerd}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{pki}/{node.kubelet_user()}-server.crt",
        "tlsPrivateKeyFile": f"{pki}/{node.kubelet_user()}-server.key",
        "clusterDNS": [str(addresses.dns_service)],
        "clusterDomain": DOMAIN,
        "resolvConf": f"{node.configuration}/resolv.conf",
        "podLogsDir": f"{node.root}/pods",
        "volumePluginDir": f"{node.root}/volume-plugins",
        "evictionHard": {
            "memory.available": "200Mi",
            "nodefs.available": "1Gi",
            "imagefs.available": "1Gi",
        },
        "evictionPressureTransitionPeriod": "10s",
        # An image that is collected cannot be had again: there is no registry.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "serializeImagePulls": False,
        "nodeStatusUpdateFrequency": "5s",
        # A heartbeat each 3 s, a quarter of this, tells soon that a node is back.
        "nodeLeaseDurationSeconds": 12,
        "syncFrequency": "10s",
        "shutdownGracePeriod": "0s",
    }


def _rest(memory: int) -> int:
    """Return the MiB of this machine that are more than these."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return max(0, pages * size // 2**20 - memory)


def kube_proxy(node: NodeFiles, addresses: ClusterAddresses, mode: str) -> dict[str, Any]:
    """Return kube-proxy's configuration."""
    periods = {"minSyncPeriod": "100ms", "syncPeriod": "30s"}
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": mode,
        "clientConnection": {"kubeconfig": str(node.cluster.kubeconfig("proxy"))},
        "clusterCIDR": str(addresses.pods),
        "hostnameOverride": node.name,
        "bindAddress": str(addresses.node(node.number).node),
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "oomScoreAdj": 0,
        # These sysctls are read-only in a network namespace; 0 leaves them alone.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "nftables": periods,
        "iptables": periods,
    }
