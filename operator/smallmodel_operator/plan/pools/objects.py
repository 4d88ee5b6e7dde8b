"""Everything of a pool beside its RayService: its fence, its token, and the namespace's weights."""

import base64
import hashlib
import hmac
from typing import Final

from smallmodel_operator.api.names import LABEL_POOL
from smallmodel_operator.plan.pools.names import owned_labels, token_secret_name
from smallmodel_operator.plan.pools.values import (
    COMPONENT_FETCH,
    COMPONENT_POOL,
    DASHBOARD_PORT,
    LABEL_COMPONENT,
    METRICS_PORT,
    SERVE_PORT,
    TOKEN_KEY,
    ClusterPool,
    Manifest,
    PoolSettings,
)

FETCH_POLICY: Final = "smallmodel-fetch"
_NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
"""The label that Kubernetes itself gives every namespace."""


def build_pool_objects(pool: ClusterPool, settings: PoolSettings) -> tuple[Manifest, ...]:
    """Return the objects that a pool has beside its RayService and its Secret."""
    return (_network_policy(pool, settings),)


def build_namespace_objects(namespace: str, settings: PoolSettings) -> tuple[Manifest, ...]:
    """Return what a namespace with models has once, whatever its pools."""
    claim = (build_claim(namespace, settings),) if settings.weights.create else ()
    return (*claim, _fetch_policy(namespace, settings))


def build_claim(namespace: str, settings: PoolSettings) -> Manifest:
    """Return the claim for the weights of a namespace's models.

    Created where it is missing and never applied over one that is there, because most of a claim
    cannot change and an administrator may have made it larger.
    """
    weights = settings.weights
    spec: Manifest = {
        "accessModes": [weights.access_mode],
        "resources": {"requests": {"storage": weights.size}},
    }
    if weights.storage_class is not None:
        spec["storageClassName"] = weights.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": weights.claim,
            "namespace": namespace,
            "labels": owned_labels(settings),
        },
        "spec": spec,
    }


def pool_token(key: str, namespace: str, pool: str) -> str:
    """Return the token of a pool's dashboard, the same one each time.

    Ray's pods read it as they start. With another one in a Secret that was made anew, a running
    pool would let neither the operator look nor new workers join.

    Args:
        key: This installation's secret, from which all tokens are made.
        namespace: The pool's.
        pool: Its name.

    Raises:
        ValueError: There is no key, so anybody could make the token.
    """
    if not key:
        raise ValueError("tokens of pools are made from a key of the installation; it is empty")
    digest = hmac.new(key.encode(), f"{namespace}/{pool}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def token_secret(pool: ClusterPool, settings: PoolSettings, token: str) -> Manifest:
    """Return the Secret that opens the pool's dashboard: whoever has it runs code in the pool."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": token_secret_name(pool.name),
            "namespace": pool.key.namespace,
            "labels": owned_labels(settings) | {LABEL_POOL: pool.name},
        },
        "type": "Opaque",
        # An edit would reach none of the pods that run.
        "immutable": True,
        "data": {TOKEN_KEY: base64.b64encode(token.encode()).decode()},
    }


def _network_policy(pool: ClusterPool, settings: PoolSettings) -> Manifest:
    own = {"podSelector": {"matchLabels": {LABEL_POOL: pool.name}}}
    gateway = _namespace(settings.operator_namespace) | {
        "podSelector": {"matchLabels": dict(sorted(settings.gateway_labels))}
    }
    operator = _namespace(settings.operator_namespace)
    kuberay = _namespace(settings.kuberay_namespace)
    ingress = [
        {"from": [own]},
        {"from": [gateway], "ports": [_tcp(SERVE_PORT)]},
        # KubeRay asks Serve's front whether the head is well, and the operator asks a model.
        {"from": [operator, kuberay], "ports": [_tcp(SERVE_PORT), _tcp(DASHBOARD_PORT)]},
    ]
    if settings.gateway_namespaces:
        senders = [_namespace(name) for name in sorted(settings.gateway_namespaces)]
        ingress.append({"from": senders, "ports": [_tcp(SERVE_PORT)]})
    if settings.metrics_namespaces:
        readers = [_namespace(name) for name in sorted(settings.metrics_namespaces)]
        ingress.append({"from": readers, "ports": [_tcp(METRICS_PORT)]})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": pool.name,
            "namespace": pool.key.namespace,
            "labels": owned_labels(settings) | {LABEL_POOL: pool.name},
        },
        "spec": {
            "podSelector": {
                "matchLabels": {LABEL_COMPONENT: COMPONENT_POOL, LABEL_POOL: pool.name}
            },
            "policyTypes": ["Ingress"],
            "ingress": ingress,
        },
    }


def _fetch_policy(namespace: str, settings: PoolSettings) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": FETCH_POLICY,
            "namespace": namespace,
            "labels": owned_labels(settings),
        },
        "spec": {
            # Nobody: left out, it would mean the same, and a rule that somebody adds would stay.
            "ingress": [],
            "podSelector": {"matchLabels": {LABEL_COMPONENT: COMPONENT_FETCH}},
            "policyTypes": ["Ingress"],
        },
    }


def _namespace(name: str) -> Manifest:
    return {"namespaceSelector": {"matchLabels": {_NAMESPACE_NAME: name}}}


def _tcp(port: int) -> Manifest:
    return {"port": port, "protocol": "TCP"}
