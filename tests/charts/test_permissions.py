"""What the operator, the gateway and people may do."""

from collections.abc import Container
from pathlib import Path
from typing import Final

import pytest
import yaml

from support.chart_roles import Permission, granted_to, permissions_of
from tools import helm
from tools.helm import Manifest

LISTS: Final = helm.CHART / "files" / "permissions.yaml"
HTTP_ROUTE: Final = [
    "--set=gateway.enabled=false,gateway.url=https://models.example.com",
    "--set=gateway.httpRoute.enabled=true",
    "--set=gateway.httpRoute.parentRef.name=public,gateway.httpRoute.parentRef.namespace=gateways",
]
PROVIDER: Final = (
    "clusters.credentialProviders[0].name=gke"
    ",clusters.credentialProviders[0].execConfig.apiVersion=client.authentication.k8s.io/v1"
    ",clusters.credentialProviders[0].execConfig.command=/plugins/gke"
)
WRITES: Final = frozenset({"create", "update", "patch", "delete", "deletecollection", "*"})


def role(manifests: list[Manifest], name: str) -> Manifest:
    return next(
        one
        for one in manifests
        if one["kind"] in ("Role", "ClusterRole") and one["metadata"]["name"] == name
    )


def by_hand(path: Path, *, without: Container[str]) -> set[Permission]:
    lists = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {
        Permission(group, resource, verb)
        for name, rules in lists.items()
        if name not in without
        for rule in rules
        for group in rule["groups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_operator_is_granted_the_list_and_nothing_else(default_render: list[Manifest]) -> None:
    listed = by_hand(LISTS, without={"httpRoute", "clusterProfiles"})
    assert granted_to("smallmodel-operator", default_render) == listed


def test_routes_are_granted_where_they_are_to_be_written() -> None:
    with_routes = helm.render(HTTP_ROUTE)
    listed = by_hand(LISTS, without={"gateway", "neighbours", "clusterProfiles"})
    assert granted_to("smallmodel-operator", with_routes) == listed
    assert granted_to("smallmodel-gateway", with_routes) == set()


def test_cluster_profiles_are_read_where_a_program_gives_tokens_for_them() -> None:
    with_profiles = helm.render([f"--set={PROVIDER}"])
    assert granted_to("smallmodel-operator", with_profiles) == by_hand(LISTS, without={"httpRoute"})
    everywhere = permissions_of(
        role(with_profiles, "smallmodel-system:smallmodel-operator")["rules"]
    )
    assert Permission("multicluster.x-k8s.io", "clusterprofiles", "get") in everywhere


def test_with_watched_namespaces_it_is_the_same_and_only_there(
    everything: list[Manifest], default_render: list[Manifest]
) -> None:
    account = "smallmodel-operator"
    assert granted_to(account, everything) == granted_to(account, default_render)
    cluster = permissions_of(role(everything, "smallmodel-system:smallmodel-operator")["rules"])
    # What pods of others take of the nodes is counted wherever these are.
    resources = {one.resource for one in cluster if one != Permission("", "pods", "list")}
    assert not resources & {"secrets", "pods", "jobs", "smallmodels", "rayservices", "services"}
    roles = [one for one in everything if one["metadata"]["name"] == "smallmodel-operator-models"]
    places = {(one["kind"], one["metadata"]["namespace"]) for one in roles}
    assert places == {
        (kind, namespace) for kind in ("Role", "RoleBinding") for namespace in ("team-a", "team-b")
    }


def test_every_rule_says_why() -> None:
    lists = yaml.safe_load(LISTS.read_text(encoding="utf-8"))
    assert [rule for rules in lists.values() for rule in rules if not rule.get("why")] == []


@pytest.mark.parametrize("render", ["default_render", "everything"])
def test_no_role_has_a_wildcard(render: str, request: pytest.FixtureRequest) -> None:
    roles = [one for one in request.getfixturevalue(render) if one["kind"].endswith("Role")]
    assert [
        (one["metadata"]["name"], found)
        for one in roles
        for found in permissions_of(one["rules"])
        if "*" in found
    ] == []


def test_the_operator_never_lists_secrets_and_never_writes_a_spec(
    default_render: list[Manifest],
) -> None:
    granted = granted_to("smallmodel-operator", default_render)
    assert {one.verb for one in granted if one.resource == "secrets"} == {
        "get", "create", "delete", "patch",
    }  # fmt: skip
    patched = [
        rule["resourceNames"]
        for one in default_render
        if one["kind"] in ("Role", "ClusterRole")
        for rule in one["rules"]
        if "secrets" in rule["resources"] and "patch" in rule["verbs"]
    ]
    assert patched == [["smallmodel-gateway-tls"]]
    written = {one.verb for one in granted if one.resource == "smallmodels"} & WRITES
    # For the finalizer; an admission policy refuses a changed spec.
    assert written == {"patch"}


def test_the_gateway_may_read_one_config_map(default_render: list[Manifest]) -> None:
    assert granted_to("smallmodel-gateway", default_render) == {
        Permission("", "configmaps", verb) for verb in ("list", "watch")
    }
    (rule,) = role(default_render, "smallmodel-gateway")["rules"]
    assert rule["resourceNames"] == ["smallmodel-gateway"]


def aggregated_to(name: str, manifests: list[Manifest]) -> frozenset[Permission]:
    label = f"rbac.authorization.k8s.io/aggregate-to-{name}"
    roles = [
        one
        for one in manifests
        if one["kind"] == "ClusterRole" and one["metadata"]["labels"].get(label) == "true"
    ]
    return frozenset().union(*(permissions_of(one["rules"]) for one in roles))


def test_people_write_small_models_and_nothing_else_of_ours(
    default_render: list[Manifest],
) -> None:
    for name in ("edit", "admin"):
        written = {one for one in aggregated_to(name, default_render) if one.verb in WRITES}
        assert {one.resource for one in written} == {"smallmodels"}
    assert {one.verb for one in aggregated_to("view", default_render)} == {"get", "list", "watch"}


def test_people_see_what_is_decided(default_render: list[Manifest]) -> None:
    for name in ("view", "edit", "admin"):
        seen = {one.resource for one in aggregated_to(name, default_render)}
        assert {"smallmodels", "modelplacements", "modelcards", "modelclusters"} <= seen


def test_only_an_uninstall_that_deletes_models_may_delete_them(
    default_render: list[Manifest], everything: list[Manifest]
) -> None:
    name = "smallmodel-operator-uninstall"
    assert "delete" not in {one.verb for one in granted_to(name, default_render)}
    assert Permission("smallmodel.dev", "smallmodels", "delete") in granted_to(name, everything)
