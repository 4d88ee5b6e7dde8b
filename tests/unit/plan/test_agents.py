"""What the agent of a cluster is given on its hub."""

from typing import Any

from smallmodel_operator.plan.agents import OWN, agent_account, agent_manifests, everywhere

HUB = "hub-1"


def by_kind(cluster: str = "edge") -> dict[str, dict[str, Any]]:
    return {one["kind"]: one for one in agent_manifests(cluster, HUB)}


def test_the_account_lies_in_the_namespace_of_the_clusters_placements() -> None:
    kinds = [one["kind"] for one in agent_manifests("edge", HUB)]
    assert kinds[0] == "Namespace"
    assert by_kind()["Namespace"]["metadata"]["labels"]["smallmodel.dev/hub"] == HUB
    for kind in ("ServiceAccount", "Secret", "Role", "RoleBinding"):
        assert by_kind()[kind]["metadata"]["namespace"] == "slm-cluster-edge"
    assert by_kind()["Secret"]["metadata"]["name"] == agent_account("edge").token_secret


def test_what_has_no_namespace_is_of_one_cluster_alone() -> None:
    for kind in ("ClusterRole", "ClusterRoleBinding"):
        names = {by_kind(one)[kind]["metadata"]["name"] for one in ("edge", "far")}
        assert names == {"smallmodel-agent:edge", "smallmodel-agent:far"}
    binding = by_kind()["ClusterRoleBinding"]
    assert binding["roleRef"]["name"] == by_kind()["ClusterRole"]["metadata"]["name"]
    assert binding["subjects"][0]["namespace"] == "slm-cluster-edge"
    for rule in by_kind()["ClusterRole"]["rules"]:
        assert rule["resourceNames"] == ["edge"]


def test_an_agent_may_write_no_spec() -> None:
    for grant in (*OWN, *everywhere("edge")):
        assert grant.why
        for resource in grant.resources:
            if set(grant.verbs) - {"get", "list", "watch"}:
                assert resource.endswith("/status") or resource == "leases"


def test_an_agent_writes_the_one_lease() -> None:
    rules = [rule for rule in by_kind()["Role"]["rules"] if rule["resources"] == ["leases"]]
    assert [(rule["verbs"], rule.get("resourceNames")) for rule in rules] == [
        (["create"], None),
        (["patch"], ["smallmodel-agent"]),
    ]


def test_an_agent_reads_one_config_map_which_is_there_for_the_hub_to_write() -> None:
    rules = [rule for rule in by_kind()["Role"]["rules"] if rule["resources"] == ["configmaps"]]
    assert [(rule["verbs"], rule["resourceNames"]) for rule in rules] == [
        (["get"], ["smallmodel-neighbours"])
    ]
    assert by_kind()["ConfigMap"]["metadata"]["name"] == "smallmodel-neighbours"
    assert "data" not in by_kind()["ConfigMap"], "a second joining takes nothing away"
