"""Values that are misspelt, out of bounds or do not go together are refused, and it is told why."""

import re
from typing import Final

import pytest

from tools import helm

PROVIDER: Final = (
    "clusters.credentialProviders[0].name=gke"
    ",clusters.credentialProviders[0].execConfig.apiVersion=client.authentication.k8s.io/v1"
    ",clusters.credentialProviders[0].execConfig.command=/plugins/gke"
)
REFUSED: Final = {
    "gateways.replicas=2": "additional properties 'gateways' not allowed",
    "gateway.replica=2": "at '/gateway': additional properties 'replica' not allowed",
    "gateway.replicas=0": "at '/gateway/replicas': minimum: got 0, want 1",
    "gateway.replicas=two": "at '/gateway/replicas': got string, want integer",
    "gateway.url=chat.example.com": "at '/gateway/url': 'chat.example.com' does not match",
    "gateway.url=https://chat.example.com/v1": "at '/gateway/url'",
    "gateway.allowFrom={Team}": "at '/gateway/allowFrom/0': 'Team' does not match",
    "gateway.allowFrom={a,a}": "at '/gateway/allowFrom': items at 0 and 1 are equal",
    "gateway.httpRoute.parentRef.name=Public": "at '/gateway/httpRoute/parentRef/name': 'Public'",
    "gateway.httpRoute.hostnames={}": "at '/gateway/httpRoute/hostnames/0': minLength",
    "gateway.httpRoute.parent.name=x": "additional properties 'parent' not allowed",
    "gateway.bodyLimit=32MB": "at '/gateway/bodyLimit': '32MB' does not match",
    "operator.replicas=3": "at '/operator/replicas': maximum: got 3, want 2",
    "operator.logLevel=loud": "at '/operator/logLevel': value must be one of 'debug', 'info'",
    "images.pullPolicy=Sometimes": "value must be one of 'Always', 'IfNotPresent', 'Never'",
    "images.servingCpu=": "at '/images/servingCpu': minLength: got 0, want 1",
    "images.registry=registry.internal/": "at '/images/registry'",
    "watchNamespaces={a b}": "at '/watchNamespaces/0': 'a b' does not match",
    "pools.modelsMax=0": "at '/pools/modelsMax': minimum: got 0, want 1",
    "pools.requestTimeout=10": "at '/pools/requestTimeout': got number, want string",
    "pools.tolerations[0].effect=Never": "at '/pools/tolerations/0",
    "clusters.credentialProviders[0].name=gke": "missing property 'execConfig'",
    "clusters.credentialProviders[0].execConfig.command=gke": "execConfig/command': 'gke' does not",
    "clusters.credentialProviders[0].profileSourcedCLIArgsPolicy=Append": "must be 'Ignore'",
    "operator.extraVolumeMounts[0].name=plugins": "missing property 'mountPath'",
    "cluster.jurisdiction=EEA": "at '/cluster/jurisdiction': 'EEA' does not match",
    "dataSources.s3Endpoint=s3.amazonaws.com": "at '/dataSources/s3Endpoint': 's3.amazonaws.com'",
    "dataSources.s3Endpoint=https://a:b@s3.example": "at '/dataSources/s3Endpoint'",
    "dataSources.s3Endpoint=file:///etc/passwd": "at '/dataSources/s3Endpoint'",
    "dataSources.endpoint=x": "additional properties 'endpoint' not allowed",
    "placement.currency=euro": "at '/placement/currency': 'euro' does not match",
    "placement.tables.cpuHour=1": "at '/placement/tables/cpuHour': got number, want string",
    "placement.tables.gridIntensity.EEA=1": "invalid propertyName 'EEA'",
    "weights.volume.accessMode=ReadOnlyMany": "at '/weights/volume/accessMode': value must be one",
    "weights.volume.size=large": "at '/weights/volume/size': 'large' does not match",
    "weights.fetchEnv.A-B=x": "invalid propertyName 'A-B'",
    "faultTolerance.mode=Raft": "at '/faultTolerance/mode': value must be one of 'None', 'Redis'",
    "faultTolerance.address=redis": "at '/faultTolerance/address': 'redis' does not match",
    "monitoring.interval=often": "at '/monitoring/interval': 'often' does not match",
    "role=Edge": "at '/role': value must be one of 'Hub', 'Agent', 'Member'",
    "agent.clusterName=Edge": "at '/agent/clusterName': 'Edge' does not match",
    "agent.hub=x": "additional properties 'hub' not allowed",
    "uninstall.timeoutSeconds=1": "at '/uninstall/timeoutSeconds': minimum: got 1, want 10",
    "networkPolicy.apiServerPorts={0}": "at '/networkPolicy/apiServerPorts/0': minimum: got 0",
}

NOT_TOGETHER: Final = {
    "faultTolerance.mode=Redis": "set faultTolerance.redis.install=true, or faultTolerance.address",
    "faultTolerance.redis.install=true": "set faultTolerance.mode=Redis",
    "weights.volume.kind=Pool,weights.volume.existingClaim=mine": "leave one of them out",
    "placement.currency=EUR": "set placement.usdRate to what one USD is in it",
    "gateway.httpRoute.enabled=true": "set gateway.enabled=false",
    "gateway.enabled=false,gateway.httpRoute.enabled=true": "set gateway.httpRoute.parentRef.name",
    "gateway.enabled=false,gateway.httpRoute.enabled=true,gateway.httpRoute.parentRef.name=a"
    ",gateway.httpRoute.parentRef.namespace=b": "set gateway.url",
    "role=Agent": "set agent.clusterName and agent.hubID as `slm cluster join NAME --mode pull`",
    "role=Agent,agent.clusterName=edge": "set agent.clusterName and agent.hubID",
    "agent.clusterName=edge": "set role=Agent, or leave them out",
    "role=Member,watchNamespaces={team}": "watchNamespaces is for role Hub, and role is Member",
    f"role=Member,{PROVIDER}": "clusters.credentialProviders is for role Hub, and role is Member",
    "role=Member,gateway.enabled=false,gateway.httpRoute.enabled=true"
    ",gateway.httpRoute.parentRef.name=a,gateway.httpRoute.parentRef.namespace=b"
    ",gateway.url=https://a.example": "gateway.httpRoute.enabled is for role Hub",
    "gateway.service.type=LoadBalancer": 'Set gateway.allowFrom to ["*"]',
    "gateway.service.type=NodePort": 'Set gateway.allowFrom to ["*"]',
}


@pytest.mark.parametrize(("value", "told"), REFUSED.items())
def test_a_wrong_value_is_refused_by_its_path_and_its_rule(value: str, told: str) -> None:
    with pytest.raises(helm.RenderFailed, match=re.escape(told)):
        helm.render(["--set", value])


@pytest.mark.parametrize(("value", "told"), NOT_TOGETHER.items())
def test_values_that_do_not_go_together_are_refused_with_the_next_step(
    value: str, told: str
) -> None:
    with pytest.raises(helm.RenderFailed, match=re.escape(told)):
        helm.render(["--set", value])


@pytest.mark.parametrize(
    "value",
    [
        "faultTolerance.mode=Redis,faultTolerance.address=redis:6379",
        "gateway.allowFrom={*},gateway.service.type=LoadBalancer",
        "gateway.url=https://chat.example.com/",
        "weights.volume.storageClassName=",
        "weights.volume.existingClaim=models,weights.volume.accessMode=ReadWriteMany",
        "weights.volume.kind=Pool",
        "gateway.enabled=false",
        "catalogue.enabled=false,admissionPolicy.enabled=false,rbac.aggregate=false",
    ],
)
def test_a_value_within_its_bounds_is_taken(value: str) -> None:
    assert helm.render(["--set", value]) != []
