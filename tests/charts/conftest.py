"""What tests of the chart share."""

import pytest

from tools import helm
from tools.helm import Manifest

# Every option that adds objects, so that nothing of the chart stays unseen.
EVERYTHING = """\
images: {servingGpu: smallmodel-serving-gpu, pullSecrets: [pull]}
watchNamespaces: [team-a, team-b]
operator: {replicas: 2, priorityClassName: high, nodeSelector: {pool: system}}
gateway: {allowFrom: ["*"], service: {type: LoadBalancer}}
networkPolicy: {metricsFrom: [monitoring]}
faultTolerance: {mode: Redis, redis: {install: true}}
monitoring: {enabled: true, dashboard: {enabled: true}}
weights: {fetchEnv: {HF_ENDPOINT: "https://hub.internal"}}
pools: {tolerations: [{key: dedicated, operator: Equal, value: models}]}
placement: {currency: EUR, usdRate: "0.5", carbonPricePerTon: "0", tables: {gridIntensity: {DE: 6}}}
uninstall: {deleteModels: true}
"""


@pytest.fixture(scope="session")
def default_render() -> list[Manifest]:
    """What the chart makes of no values at all."""
    return helm.render()


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """What the chart makes with every option switched on."""
    values = tmp_path_factory.mktemp("values") / "everything.yaml"
    values.write_text(EVERYTHING)
    return helm.render(["--values", str(values)])


AGENT = ["--set=role=Agent,agent.clusterName=edge,agent.hubID=0123456789abcdef"]


@pytest.fixture(scope="session")
def agent_render() -> list[Manifest]:
    """What the chart makes in a cluster whose hub cannot call it."""
    return helm.render(AGENT)


@pytest.fixture(scope="session")
def member_render() -> list[Manifest]:
    """What it makes in one that its hub calls."""
    return helm.render(["--set=role=Member"])
