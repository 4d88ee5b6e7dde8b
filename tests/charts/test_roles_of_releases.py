"""What a release is in a cluster that is not the hub's: an agent, or a gateway alone."""

from typing import Final

import yaml

from smallmodel_operator.agent_settings import AgentSettings
from smallmodel_operator.plan.agents import IN_CLUSTER, IN_RELEASE
from smallmodel_operator.plan.gateway.config_map import GATEWAY_NAME
from smallmodel_operator.settings import Settings
from support.chart_roles import Permission, granted_to
from support.golden import check_golden
from tools.helm import Manifest

OPERATOR: Final = "smallmodel-operator"


def names(manifests: list[Manifest], kind: str) -> set[str]:
    return {one["metadata"]["name"] for one in manifests if one["kind"] == kind}


def pod_of(manifests: list[Manifest], deployment: str) -> Manifest:
    (found,) = (
        one
        for one in manifests
        if one["kind"] == "Deployment" and one["metadata"]["name"] == deployment
    )
    pod: Manifest = found["spec"]["template"]["spec"]
    return pod


def test_an_agent_has_placements_a_gateway_and_no_other_kind(agent_render: list[Manifest]) -> None:
    assert names(agent_render, "CustomResourceDefinition") == {"modelplacements.smallmodel.dev"}
    assert names(agent_render, "Deployment") == {OPERATOR, GATEWAY_NAME}
    assert names(agent_render, "Job") == names(agent_render, "SmallModel") == set()
    found = [one for one in agent_render if one["kind"] != "CustomResourceDefinition"]
    check_golden("chart/agent.yaml", yaml.safe_dump_all(found, sort_keys=True))


def test_a_cluster_that_is_called_has_placements_and_a_gateway_alone(
    member_render: list[Manifest],
) -> None:
    assert names(member_render, "CustomResourceDefinition") == {"modelplacements.smallmodel.dev"}
    assert names(member_render, "Deployment") == {GATEWAY_NAME}
    assert names(member_render, "ServiceAccount") == {GATEWAY_NAME}
    assert names(member_render, "ClusterRole") == set()
    found = [one for one in member_render if one["kind"] != "CustomResourceDefinition"]
    check_golden("chart/member.yaml", yaml.safe_dump_all(found, sort_keys=True))


def test_the_agent_is_told_its_hub(agent_render: list[Manifest]) -> None:
    (container,) = pod_of(agent_render, OPERATOR)["containers"]
    told = {one["name"]: one.get("value", "x") for one in container["env"]}

    assert container["command"] == ["python", "-m", "smallmodel_operator.agent"]
    assert AgentSettings.from_environment(told).cluster_name == "edge"
    assert Settings.from_environment(told).watch_namespaces == ()


def test_the_agent_starts_without_the_kubeconfig_of_its_hub(agent_render: list[Manifest]) -> None:
    pod = pod_of(agent_render, OPERATOR)
    (volume,) = (one for one in pod["volumes"] if "secret" in one)
    (mount,) = (one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "hub")
    usual = AgentSettings(cluster_name="edge", hub_id="a").hub_kubeconfig

    assert volume["secret"]["optional"] is True
    assert f"{mount['mountPath']}/kubeconfig" == str(usual)
    assert "subPath" not in mount, "it would never change"
    assert "initContainers" not in pod


def test_the_agent_is_granted_its_list_and_nothing_else(agent_render: list[Manifest]) -> None:
    listed = {
        Permission(grant.group, resource, verb)
        for grant in (*IN_CLUSTER, *IN_RELEASE)
        for resource in grant.resources
        for verb in grant.verbs
    }
    assert granted_to(OPERATOR, agent_render) == listed
    assert not {one for one in listed if one.resource in {"smallmodels", "modelclusters"}}


def test_no_policy_asks_for_a_kind_that_is_not_there(
    agent_render: list[Manifest], member_render: list[Manifest]
) -> None:
    for found in (agent_render, member_render):
        policies = [one for one in found if one["kind"] == "ValidatingAdmissionPolicy"]
        assert policies
        assert not [one for one in policies if "paramKind" in one["spec"]]
