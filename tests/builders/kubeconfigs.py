"""Kubeconfigs, good ones and others, and the certificates in them."""

import base64
import ssl
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

TOKEN = "a-token-that-nobody-may-read"
SERVER = "https://edge.example.com:6443"

Config = dict[str, Any]


@dataclass(frozen=True)
class Pair:
    """A certificate that signed itself, and its key."""

    certificate: bytes
    key: bytes


@cache
def pair(name: str = "127.0.0.1") -> Pair:
    """One for that host, made by openssl."""
    with TemporaryDirectory() as folder:
        key, certificate = Path(folder, "key.pem"), Path(folder, "certificate.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", key, "-out", certificate, "-subj", f"/CN={name}", "-days", "2",
             "-addext", f"subjectAltName=IP:{name}"],
            check=True, capture_output=True,
        )  # fmt: skip
        return Pair(certificate=certificate.read_bytes(), key=key.read_bytes())


def server_tls(own: Pair, client: Pair | None = None) -> ssl.SSLContext:
    """What a server needs to show the first one, and to believe the second."""
    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cadata=client.certificate.decode() if client else None
    )
    context.verify_mode = ssl.CERT_OPTIONAL if client else ssl.CERT_NONE
    with TemporaryDirectory() as folder:
        path = Path(folder, "both.pem")
        path.write_bytes(own.certificate + own.key)
        context.load_cert_chain(path)
    return context


def encoded(content: bytes) -> str:
    """As kubeconfigs have it."""
    return base64.b64encode(content).decode()


def kubeconfig(
    *, cluster: Config | None = None, user: Config | None = None, **top: object
) -> Config:
    """A kubeconfig with a token, and these fields of its cluster, its user and itself."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "edge",
        "contexts": [
            {"name": "edge", "context": {"cluster": "edge", "user": "hub", "namespace": "a"}}
        ],
        "clusters": [{"name": "edge", "cluster": {"server": SERVER, **(cluster or {})}}],
        "users": [{"name": "hub", "user": {"token": TOKEN} if user is None else user}],
        **top,
    }


def written(config: Config) -> bytes:
    """The file."""
    return yaml.safe_dump(config).encode()
