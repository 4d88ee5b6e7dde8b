"""The checks of `slm doctor` on a cluster, one function each: what was seen, and what to do."""

from collections.abc import AsyncIterator
from typing import Any, Final

from smallmodel_operator.api.base import human_bytes
from smallmodel_operator.cli.cluster.examined import Check, Examined
from smallmodel_operator.cli.cluster.installed import (
    GATEWAY_LABELS,
    OPERATOR_LABELS,
    Installed,
    find_installed,
    settings_of,
)
from smallmodel_operator.cli.cluster.observed import Observed, default_settings, read_catalog
from smallmodel_operator.cli.cluster.session import CHART
from smallmodel_operator.cli.cluster.weights_check import check_weights
from smallmodel_operator.cli.findings import Finding, Level

_CRD_COMMAND: Final = "slm crd | kubectl apply --server-side -f -"


async def check_server(examined: Examined) -> AsyncIterator[Finding]:
    """Tell which cluster was asked."""
    version = (await examined.session.api.raw("/version")).json()
    context = examined.session.context or "of this pod"
    yield Finding(
        Level.OK,
        "API server",
        f"Kubernetes {version.get('gitVersion', 'of an unknown version')}, context {context}, "
        f"namespace {examined.session.namespace}",
    )


async def check_definitions(examined: Examined) -> AsyncIterator[Finding]:
    """Compare the CRDs with those of this version."""
    from smallmodel_operator.api.crd import KINDS, build
    from smallmodel_operator.clusters import errors
    from smallmodel_operator.clusters.ref import CRDS

    missing: list[str] = []
    other: list[str] = []
    for kind in KINDS:
        try:
            live = await examined.session.api.get(CRDS.ref(kind.crd_name))
        except errors.Forbidden as error:
            yield Finding(Level.NOTE, "CRDs", f"not compared: {error}")
            return
        if live is None:
            missing.append(kind.crd_name)
        elif not _same_schema(live, build(kind)):
            other.append(kind.crd_name)
    if missing:
        yield Finding(
            Level.FAIL,
            "CRDs",
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not there; install the "
            f"chart, which brings them: `{CHART}`",
        )
    if other:
        yield Finding(
            Level.WARN,
            "CRDs",
            f"{', '.join(other)} {'is' if len(other) == 1 else 'are'} of another version than this "
            f"slm; upgrade the chart, or: `{_CRD_COMMAND}`",
        )
    if not missing and not other:
        yield Finding(Level.OK, "CRDs", f"all {len(KINDS)} are there, as in this version")


async def check_kuberay(examined: Examined) -> AsyncIterator[Finding]:
    """Tell whether KubeRay is there and new enough."""
    from smallmodel_operator.clusters.observe import ClusterObserver
    from smallmodel_operator.clusters.view import kuberay_of
    from smallmodel_operator.status.cluster import kuberay_problem

    facts = await ClusterObserver(examined.session.api, "").observe_kuberay()
    problem = kuberay_problem(kuberay_of(facts))
    if problem is not None:
        yield Finding(Level.FAIL, "KubeRay", problem)
    elif facts.version is None:
        yield Finding(
            Level.WARN,
            "KubeRay",
            "its RayService is served, and no Deployment of its operator was found, so its "
            "version is unknown; without one, no pool ever starts",
        )
    else:
        yield Finding(Level.OK, "KubeRay", f"{facts.version}")


async def check_permissions(examined: Examined) -> AsyncIterator[Finding]:
    """Ask the API server what the caller may do, of what these commands need."""
    from smallmodel_operator.clusters.requests import Call

    session = examined.session
    wanted = (
        ("get, describe", Call(verb="list", group="smallmodel.dev", resource="smallmodels"), None),
        ("kubectl apply", Call(verb="patch", group="smallmodel.dev", resource="smallmodels"), None),
        ("describe", Call(verb="list", resource="pods"), None),
        ("logs", Call(verb="get", resource="pods", subresource="log"), None),
        (
            "chat, url --forward",
            Call(verb="create", resource="pods", subresource="portforward"),
            _own_namespace(examined),
        ),
    )
    denied = [
        f"{call.verb} {call.resource}{f'/{call.subresource}' if call.subresource else ''} in "
        f"{namespace or session.namespace} ({what})"
        for what, call, namespace in wanted
        if not await session.api.may(call, namespace or session.namespace)
    ]
    if denied:
        yield Finding(
            Level.WARN,
            "your permissions",
            f"you may not: {'; '.join(denied)}. Ask whoever administers the cluster for a "
            "RoleBinding to the ClusterRole `edit` in these namespaces",
        )
    else:
        yield Finding(Level.OK, "your permissions", "enough for get, describe, logs and chat")


async def check_operator(examined: Examined) -> AsyncIterator[Finding]:
    """Tell whether the operator runs, and whether one of its pods leads."""
    if not isinstance(examined.operators, tuple):
        yield Finding(Level.NOTE, "operator", f"not looked for: {examined.operators}")
        return
    if not examined.operators:
        yield Finding(
            Level.FAIL,
            "operator",
            f"no namespace has a Deployment with the labels {OPERATOR_LABELS}; install the chart: "
            f"`{CHART}`",
        )
    if len(examined.operators) > 1:
        where = ", ".join(f"{one.namespace}/{one.name}" for one in examined.operators)
        yield Finding(
            Level.WARN,
            "operator",
            f"several are installed: {where}. They must not watch the same namespaces; uninstall "
            "all but one, or set watchNamespaces of each",
        )
    for operator in examined.operators:
        yield await _operator(examined, operator)


async def _operator(examined: Examined, operator: Installed) -> Finding:
    from smallmodel_operator.clusters import errors
    from smallmodel_operator.clusters.ref import LEASES

    name = f"{operator.namespace}/{operator.name}"
    if operator.ready == 0:
        stopped = "it was scaled to 0" if operator.wanted == 0 else "none of its pods is ready"
        command = examined.command(f"-n {operator.namespace} describe pods -l {OPERATOR_LABELS}")
        return Finding(
            Level.FAIL,
            "operator",
            f"{name}: {stopped}. What runs goes on, and nothing changes; see {command}",
        )
    settings = settings_of(operator) or default_settings()
    try:
        lease = await examined.session.api.get(LEASES.ref(settings.lease, operator.namespace))
    except errors.Forbidden:
        return Finding(Level.OK, "operator", f"{name}: {operator.ready} ready; its Lease is unread")
    holder = ((lease or {}).get("spec") or {}).get("holderIdentity")
    if not holder:
        command = examined.command(f"-n {operator.namespace} logs deploy/{operator.name}")
        return Finding(
            Level.WARN,
            "operator",
            f"{name}: nobody holds the Lease {settings.lease}; see {command}",
        )
    return Finding(Level.OK, "operator", f"{name}: {operator.ready} ready, {holder} leads")


async def check_gateway(examined: Examined) -> AsyncIterator[Finding]:
    """Tell whether requests are answered."""
    from smallmodel_operator.clusters import errors

    try:
        found = await find_installed(examined.session, GATEWAY_LABELS)
    except errors.Forbidden as error:
        yield Finding(Level.NOTE, "gateway", f"not looked for: {error}")
        return
    routes = _http_routes(examined)
    if routes is not None:
        yield Finding(Level.OK, "gateway", routes)
    elif not found:
        yield Finding(
            Level.FAIL,
            "gateway",
            f"no namespace has a Deployment with the label {GATEWAY_LABELS}, so no URL answers; "
            "install the chart with gateway.enabled=true",
        )
    for gateway in found:
        name = f"{gateway.namespace}/{gateway.name}"
        command = examined.command(f"-n {gateway.namespace} describe deployment {gateway.name}")
        counted = f"{gateway.ready} of {gateway.wanted} ready"
        if gateway.ready == 0:
            yield Finding(
                Level.FAIL, "gateway", f"{name}: {counted}, so no URL answers; see {command}"
            )
        elif gateway.ready < gateway.wanted:
            yield Finding(Level.WARN, "gateway", f"{name}: {counted}; see {command}")
        else:
            yield Finding(Level.OK, "gateway", f"{name}: {counted}")


def _http_routes(examined: Examined) -> str | None:
    """Return which Gateway leads requests to models, where it is not the chart's own."""
    operators = examined.operators if isinstance(examined.operators, tuple) else ()
    for settings in map(settings_of, operators):
        if settings is not None and settings.http_route is not None:
            parent = settings.http_route
            return (
                f"requests come by HTTPRoutes of the Gateway {parent.namespace}/{parent.name}, to "
                f"{settings.gateway_base_url}"
            )
    return None


async def check_catalogue(examined: Examined) -> AsyncIterator[Finding]:
    """Compare the ModelCards with those that come with this version."""
    from smallmodel_operator.clusters import errors
    from smallmodel_operator.clusters.ref import MODELCARDS
    from smallmodel_operator.local.bundled import fetch_bundled_cards

    try:
        items, _ = await examined.session.api.list(MODELCARDS)
    except (errors.Forbidden, errors.ApiMissing) as error:
        yield Finding(Level.NOTE, "catalogue", f"not read: {error}")
        return
    readable, bundled = read_catalog(items), fetch_bundled_cards()
    missing = sorted(set(bundled.names) - set(readable.names))
    if not items:
        yield Finding(
            Level.WARN,
            "catalogue",
            "there is no ModelCard, so `spec.model` names nothing; set catalogue.enabled=true in "
            "the chart, or give each model a `spec.source`",
        )
    elif missing:
        yield Finding(
            Level.NOTE,
            "catalogue",
            f"{len(readable.cards)} ModelCards; this version brings also: {', '.join(missing)}",
        )
    else:
        yield Finding(Level.OK, "catalogue", f"{len(readable.cards)} ModelCards")


async def check_capacity(examined: Examined) -> AsyncIterator[Finding]:
    """Place the smallest model of the catalogue that fits, as the operator would."""
    from smallmodel_operator.cli.cluster.capacity import smallest_refusal, smallest_that_fits

    observed = examined.observed
    if not isinstance(observed, Observed):
        yield Finding(Level.NOTE, "capacity", f"not looked at: {observed}")
        return
    view = observed.view()
    ready = [node for node in view.nodes if node.takes_pods]
    free = sum(max(0, node.free_memory_bytes) for node in ready)
    cores = sum(max(0.0, node.free_cpu_cores) for node in ready)
    seen = (
        f"{len(ready)} of {len(view.nodes)} nodes take pods, {cores:.1f} CPU and "
        f"{human_bytes(free)} are not asked for by others"
    )
    namespace = examined.session.namespace
    fits = smallest_that_fits(observed.catalog, view, namespace)
    if fits is not None:
        yield Finding(Level.OK, "capacity", f"{seen}; {fits} fits")
        return
    why = smallest_refusal(observed.catalog, view, namespace)
    yield Finding(
        # Where models run already, the cluster is full and not unfit.
        Level.WARN if view.pools else Level.FAIL,
        "capacity",
        f"{seen}, and no further model of the catalogue fits. {why or 'There is no catalogue.'}",
    )


def _own_namespace(examined: Examined) -> str | None:
    operators = examined.operators
    return operators[0].namespace if isinstance(operators, tuple) and operators else None


def _same_schema(live: dict[str, Any], ours: dict[str, Any]) -> bool:
    """Compare by what can be asked for: defaults of the API server are no difference."""
    return _versions(live) == _versions(ours)


def _versions(definition: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(one["name"], one["schema"]) for one in definition["spec"]["versions"]]


CHECKS: Final[tuple[Check, ...]] = (
    check_server,
    check_definitions,
    check_kuberay,
    check_permissions,
    check_operator,
    check_gateway,
    check_catalogue,
    check_capacity,
    check_weights,
)
"""In the order in which they are printed."""
