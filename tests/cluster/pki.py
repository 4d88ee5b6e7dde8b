"""The certificates and kubeconfigs of a cluster, made by openssl."""

import base64
import json
from pathlib import Path
from typing import Final

from cluster.addresses import API_PORT, ClusterAddresses
from cluster.commands import run
from cluster.folders import ClusterFiles

DOMAIN: Final = "cluster.local"
DAYS: Final = "365"

# Common name and organisation, as Kubernetes' own RBAC bindings expect them.
USERS: Final = {
    "admin": "/O=system:masters/CN=smallmodel-admin",
    "controller-manager": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "proxy": "/CN=system:kube-proxy",
    "apiserver-kubelet": "/O=system:masters/CN=kube-apiserver-kubelet-client",
}


def make_cluster_pki(files: ClusterFiles, addresses: ClusterAddresses) -> None:
    """Write the authorities, the API server's and the users' certificates and kubeconfigs."""
    done = files.pki / "done"
    if done.exists():
        return
    files.pki.mkdir(mode=0o700, parents=True, exist_ok=True)
    for authority in ("ca", "front-ca"):
        _authority(files.pki, authority, f"{files.name} {authority}")
    service = "kubernetes.default.svc"
    names = ["localhost", "kubernetes", "kubernetes.default", service, f"{service}.{DOMAIN}"]
    hosts = ["127.0.0.1", str(addresses.api_server), str(addresses.api_service)]
    _certificate(files.pki, "apiserver", "/CN=kube-apiserver", serves=(names, hosts))
    _certificate(files.pki, "front", "/CN=front-proxy-client", authority="front-ca")
    for user, subject in USERS.items():
        _certificate(files.pki, user, subject)
        write_kubeconfig(files, user, addresses)
    _key(files.pki / "service-accounts.key")
    run("openssl", "ec", "-in", files.pki / "service-accounts.key", "-pubout",
        "-out", files.pki / "service-accounts.pub")  # fmt: skip
    done.touch()


def make_node_pki(files: ClusterFiles, addresses: ClusterAddresses, number: int) -> None:
    """Write the certificates and the kubeconfig of a node's kubelet."""
    node = files.node(number)
    user = node.kubelet_user()
    if files.kubeconfig(user).exists():
        return
    subject = f"/O=system:nodes/CN=system:node:{node.name}"
    hosts = ["127.0.0.1", str(addresses.node(number).node)]
    _certificate(files.pki, user, subject)
    _certificate(files.pki, f"{user}-server", subject, serves=([node.name], hosts))
    write_kubeconfig(files, user, addresses)


def write_kubeconfig(files: ClusterFiles, user: str, addresses: ClusterAddresses) -> None:
    """Write a kubeconfig that carries its certificates in itself."""

    def text(file: str) -> str:
        return base64.b64encode((files.pki / file).read_bytes()).decode()

    name = f"smallmodel-{files.name}"
    server = {
        "server": f"https://{addresses.api_server}:{API_PORT}",
        "certificate-authority-data": text("ca.crt"),
    }
    keys = {
        "client-certificate-data": text(f"{user}.crt"),
        "client-key-data": text(f"{user}.key"),
    }
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": server}],
        "users": [{"name": user, "user": keys}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
    }
    path = files.kubeconfig(user)
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=1))


def _key(path: Path) -> None:
    path.touch(mode=0o600)
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)


def _authority(folder: Path, name: str, subject: str) -> None:
    _key(folder / f"{name}.key")
    run("openssl", "req", "-x509", "-new", "-key", folder / f"{name}.key",
        "-subj", f"/CN={subject}", "-days", DAYS,
        "-addext", "keyUsage=critical,digitalSignature,keyCertSign,cRLSign",
        "-out", folder / f"{name}.crt")  # fmt: skip


def _certificate(
    folder: Path,
    name: str,
    subject: str,
    *,
    authority: str = "ca",
    serves: tuple[list[str], list[str]] | None = None,
) -> None:
    """Write a key and a certificate; `serves` holds the names and addresses of a server."""
    extensions = [
        "basicConstraints=CA:FALSE",
        "keyUsage=critical,digitalSignature,keyEncipherment",
        "extendedKeyUsage=" + ("serverAuth,clientAuth" if serves else "clientAuth"),
    ]
    if serves:
        names, hosts = serves
        alternatives = [f"DNS:{entry}" for entry in names] + [f"IP:{entry}" for entry in hosts]
        extensions.append("subjectAltName=" + ",".join(alternatives))
    request = folder / f"{name}.csr"
    _key(folder / f"{name}.key")
    run("openssl", "req", "-new", "-key", folder / f"{name}.key", "-subj", subject,
        "-out", request)  # fmt: skip
    run("openssl", "x509", "-req", "-in", request, "-CA", folder / f"{authority}.crt",
        "-CAkey", folder / f"{authority}.key", "-CAcreateserial", "-days", DAYS,
        "-extfile", "/dev/stdin", "-out", folder / f"{name}.crt",
        stdin="\n".join(extensions))  # fmt: skip
    request.unlink()
