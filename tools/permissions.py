"""The page of what the operator may do, from the chart's own list. Values in, text out."""

from collections.abc import Iterator
from typing import Any, Final

import yaml

from smallmodel_operator.plan import agents, members

_PLACES: Final = {
    "cluster": "In the whole cluster",
    "models": "In every namespace with models",
    "agents": "For clusters whose agents call the hub",
    "neighbours": "For the gateways of such clusters",
    "httpRoute": "With a Gateway of your own",
    "clusterProfiles": "With ClusterProfiles",
    "own": "In the operator's own namespace",
    "gateway": "In the operator's own namespace, for the gateway",
}
_MEANINGS: Final = {
    "cluster": "Objects without a namespace, and ModelPlacements.",
    "models": "The whole cluster, or the namespaces of the chart's value `watchNamespaces` alone.",
    "agents": "In the whole cluster, unless the chart's value `watchNamespaces` names some.",
    "neighbours": "As above, and unless a Gateway of your own leads to models.",
    "httpRoute": "In every namespace with models too, where the chart's value "
    "`gateway.httpRoute.enabled` is true.",
    "clusterProfiles": "As for such clusters, where the chart's value "
    "`clusters.credentialProviders` lists a program.",
    "own": "Nothing here is granted elsewhere.",
    "gateway": "Unless a Gateway of your own leads to models.",
}


_IN_MEMBERS: Final = (
    (
        "In a cluster that the hub works on",
        "The account `smallmodel-hub` there, which `slm cluster join` makes. In the whole cluster:",
        members.EVERYWHERE,
    ),
    (
        "In the operator's namespace of such a cluster",
        "Nothing in the cluster runs as this account.",
        members.OWN,
    ),
    (
        "The agent, in its own cluster",
        "The account of the chart's release with `role: Agent`. In the whole cluster:",
        agents.IN_CLUSTER,
    ),
    (
        "In the namespace of that release",
        "Nothing here is granted elsewhere.",
        agents.IN_RELEASE,
    ),
    (
        "On the hub, for the agent of a cluster",
        "The account `smallmodel-agent` in the cluster's namespace `slm-cluster-CLUSTER`, which "
        "`slm cluster join` makes. In the whole cluster:",
        agents.everywhere("CLUSTER"),
    ),
    (
        "In that namespace",
        "It may change no spec, and see no other cluster's placements.",
        agents.OWN,
    ),
)


def permissions_page(text: str) -> str:
    """Return the page; the text is that of `files/permissions.yaml`."""
    lists: dict[str, list[dict[str, Any]]] = yaml.safe_load(text)
    parts = [
        "# What the operator may do",
        "<!-- Written by `make generate` from the chart's files/permissions.yaml. -->",
        "RBAC grants whole kinds, never names that follow a pattern. Where the operator needs less "
        "than RBAC can say, a ValidatingAdmissionPolicy of the chart holds its account to it: only "
        "Secrets with the label `app.kubernetes.io/managed-by: smallmodel-operator`, only "
        "Namespaces whose name starts with `slm-cluster-`, and never the spec of a SmallModel. "
        "Reading a Secret by its name is not restricted further; listing them is not granted.",
        "This is what it calls and no verb more: `tests/api/test_roles.py` runs each program of "
        "the chart with its own account through a model's life, and compares these lists with the "
        "API server's audit log.",
        "The gateway's pods may read one ConfigMap. People with the cluster's roles `edit` and "
        "`admin` write SmallModels, and with `view` read all kinds of this project; no role for "
        "people writes a ModelPlacement.",
    ]
    for place, rules in lists.items():
        rows = ["| Kind | Verbs | Why |", "| --- | --- | --- |", *_rows(rules)]
        parts += [f"## {_PLACES[place]}", _MEANINGS[place], "\n".join(rows)]
    for title, meaning, grants in _IN_MEMBERS:
        listed = [
            {
                "groups": [grant.group],
                "resources": grant.resources,
                "verbs": grant.verbs,
                "why": grant.why,
                "names": grant.names,
            }
            for grant in grants
        ]
        rows = ["| Kind | Verbs | Why |", "| --- | --- | --- |", *_rows(listed)]
        parts += [f"## {title}", meaning, "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


def _rows(rules: list[dict[str, Any]]) -> Iterator[str]:
    for rule in rules:
        kinds = [
            f"`{resource}.{group}`" if group else f"`{resource}`"
            for group in rule["groups"]
            for resource in rule["resources"]
        ]
        names = f" (only `{'`, `'.join(rule['names'])}`)" if rule.get("names") else ""
        yield f"| {', '.join(kinds)}{names} | {', '.join(rule['verbs'])} | {rule['why']} |"
