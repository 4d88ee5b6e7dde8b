"""What an agent is told at its start, and what is said where it is told wrong."""

from pathlib import Path

import pytest

from smallmodel_operator.agent_settings import AgentSettings
from smallmodel_operator.settings import SettingsError

NAME, HUB = "SMALLMODEL_AGENT_CLUSTER_NAME", "SMALLMODEL_AGENT_HUB_ID"
WHOLE = {NAME: "edge", HUB: "0123456789abcdef"}


def test_the_kubeconfig_has_a_usual_place() -> None:
    settings = AgentSettings.from_environment(WHOLE)
    assert settings.cluster_name == "edge"
    assert settings.hub_kubeconfig == Path("/etc/smallmodel/hub/kubeconfig")


WRONG = {
    "nothing is set": ({}, f"{NAME} is not set: The ModelCluster on the hub"),
    "no id": ({NAME: "edge", HUB: ""}, f"{HUB} is not set: The id of the hub"),
    "the hub's own": (WHOLE | {NAME: "local"}, f"{NAME}='local': local is the hub's own cluster"),
    "no name": (WHOLE | {NAME: "Edge"}, f"{NAME}='Edge': write a name of lower-case letters"),
    "no id at all": (WHOLE | {HUB: "a b"}, f"{HUB}='a b': write the id as `slm cluster join`"),
}


@pytest.mark.parametrize(("environment", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_with_its_rule(environment: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        AgentSettings.from_environment(environment)
    assert said in str(caught.value)


def test_the_page_has_all_variables_in_their_words() -> None:
    path = Path(__file__).resolve().parents[2] / "docs" / "reference" / "environment.md"
    page = path.read_text(encoding="utf-8")
    for field in AgentSettings.model_fields.values():
        assert f"| `{field.alias}` | {field.description} |" in page
