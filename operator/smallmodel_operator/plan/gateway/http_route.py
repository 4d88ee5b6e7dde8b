"""The Gateway API's way in, for who has a gateway already: one HTTPRoute per namespace.

It routes by path alone. Choosing a model by the `model` in the body needs our Envoy, and so do
errors in OpenAI's form, the list of models, admission by address and the time limits of a model.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from smallmodel_operator.api.names import LABEL_HUB, LABEL_MANAGED_BY, MANAGER
from smallmodel_operator.plan.gateway.cluster_values import RoutedModel
from smallmodel_operator.plan.gateway.snapshot import RouteKey

ROUTE_NAME: Final = "smallmodel"
RULES_MAX: Final = 16
"""Rules of one HTTPRoute (the Gateway API's schema, v1)."""

GATEWAY_API_TRIED: Final = "1.5.1"
"""Whose HTTPRoute the tests apply, and what a message recommends."""
INSTALL_GATEWAY_API: Final = (
    "kubectl apply --server-side -f https://github.com/kubernetes-sigs/gateway-api/releases/"
    f"download/v{GATEWAY_API_TRIED}/standard-install.yaml"
)
_PARTS: Final = len(["", "namespace", "model", "v1"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentGateway:
    """The Gateway that the routes attach to."""

    name: str
    namespace: str
    section: str | None = None
    """One of its listeners; unset: all."""
    hostnames: tuple[str, ...] = ()
    """The hosts whose requests are taken; none: those of the listeners."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceModel:
    """A model, and the Service of its pool in the same namespace."""

    name: str
    service: str
    port: int


def service_models(models: Sequence[RoutedModel]) -> tuple[ServiceModel, ...]:
    """Return the models that can be asked, with the Service that the upstream's name begins with.

    A model that cannot be asked has no rule, and is the gateway's 404.
    """
    return tuple(
        ServiceModel(
            name=routed.model.name,
            service=routed.upstream.address.partition(".")[0],
            port=routed.upstream.port,
        )
        for routed in models
        if routed.upstream and not routed.model.unavailable
    )


def build_http_routes(
    namespace: str, models: Sequence[ServiceModel], parent: ParentGateway, hub_id: str
) -> tuple[dict[str, Any], ...]:
    """Return the HTTPRoutes of a namespace, sorted: more than one where it has many models.

    `/<namespace>/<model>/v1/…` leads to the model's pool, which knows it as `/<model>/v1/…`.

    Args:
        namespace: Of the models, of their pools' Services, and of the routes.
        models: In any order.
        parent: Where the routes attach.
        hub_id: The installation's, which owns the routes.
    """
    ordered = sorted(models, key=lambda model: model.name)
    chunks = [ordered[at : at + RULES_MAX] for at in range(0, len(ordered), RULES_MAX)]
    return tuple(
        _http_route(f"{ROUTE_NAME}-{number}", namespace, chunk, parent, hub_id)
        for number, chunk in enumerate(chunks)
    )


def models_in(routes: Iterable[Mapping[str, Any]]) -> frozenset[RouteKey]:
    """Return what HTTPRoutes of this project lead to; a rule of somebody else's is left out."""
    found = set()
    for route in routes:
        namespace = route["metadata"]["namespace"]
        for rule in (route.get("spec") or {}).get("rules") or ():
            for match in rule.get("matches") or ():
                parts = str((match.get("path") or {}).get("value")).split("/")
                if len(parts) == _PARTS and parts[1] == namespace:
                    found.add((namespace, parts[2]))
    return frozenset(found)


def _http_route(
    name: str,
    namespace: str,
    models: Sequence[ServiceModel],
    parent: ParentGateway,
    hub_id: str,
) -> dict[str, Any]:
    reference = {"name": parent.name, "namespace": parent.namespace}
    if parent.section:
        reference["sectionName"] = parent.section
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {LABEL_HUB: hub_id, LABEL_MANAGED_BY: MANAGER},
        },
        "spec": {
            **({"hostnames": list(parent.hostnames)} if parent.hostnames else {}),
            "parentRefs": [reference],
            "rules": [_rule(namespace, model) for model in models],
        },
    }


def _rule(namespace: str, model: ServiceModel) -> dict[str, Any]:
    # A prefix ends at a whole part of the path, so `chat` does not take what is `chat-2`'s.
    below = {"type": "PathPrefix", "value": f"/{namespace}/{model.name}/v1"}
    rewrite = {"type": "ReplacePrefixMatch", "replacePrefixMatch": f"/{model.name}/v1"}
    return {
        "matches": [{"path": below}],
        "filters": [{"type": "URLRewrite", "urlRewrite": {"path": rewrite}}],
        "backendRefs": [{"name": model.service, "port": model.port}],
    }
