"""What a hub is given in a cluster that it works on."""

from typing import Any

from smallmodel_operator.plan.members import EVERYWHERE, OWN, TOKEN_SECRET, member_manifests

SYSTEM = "models"


def by_kind() -> dict[str, dict[str, Any]]:
    return {one["kind"]: one for one in member_manifests(SYSTEM)}


def test_the_account_is_made_before_what_is_bound_to_it() -> None:
    kinds = [one["kind"] for one in member_manifests(SYSTEM)]
    assert kinds == [
        "Namespace",
        "ServiceAccount",
        "Secret",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
    ]


def test_all_of_it_lies_in_the_operators_namespace_and_is_ours() -> None:
    for one in member_manifests(SYSTEM):
        metadata = one["metadata"]
        cluster_wide = one["kind"] in {"Namespace", "ClusterRole", "ClusterRoleBinding"}
        assert metadata.get("namespace") == (None if cluster_wide else SYSTEM)
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "smallmodel-operator"


def test_the_token_is_that_of_the_account() -> None:
    secret = by_kind()["Secret"]
    assert secret["type"] == "kubernetes.io/service-account-token"
    assert secret["metadata"]["name"] == TOKEN_SECRET
    assert secret["metadata"]["annotations"] == {
        "kubernetes.io/service-account.name": "smallmodel-hub"
    }


def test_each_binding_gives_the_account_the_role_beside_it() -> None:
    for kind in ("Role", "ClusterRole"):
        binding = by_kind()[f"{kind}Binding"]
        assert binding["roleRef"]["kind"] == kind
        assert binding["roleRef"]["name"] == by_kind()[kind]["metadata"]["name"]
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": "smallmodel-hub", "namespace": SYSTEM}
        ]


def test_no_rule_has_a_wildcard_and_each_says_why() -> None:
    for grant in (*EVERYWHERE, *OWN):
        assert grant.why
        assert "*" not in (grant.group, *grant.resources, *grant.verbs)


def test_the_hub_may_not_write_what_the_clusters_administrator_decides() -> None:
    (namespaces,) = (one for one in EVERYWHERE if "namespaces" in one.resources)
    assert set(namespaces.verbs) == {"get", "list", "watch"}
