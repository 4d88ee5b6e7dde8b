"""The examples are what they say, and every one of them is right."""

from pathlib import Path

import pytest
import yaml

from builders.yaml_objects import CHAT_YAML
from smallmodel_operator.api.smallmodel import Scaling, SmallModelSpec
from support.command_line import Slm

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_chat_is_six_lines() -> None:
    text = (EXAMPLES / "chat.yaml").read_text(encoding="utf-8")
    assert text == CHAT_YAML
    assert len(text.splitlines()) == 6


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_each_example_is_valid(slm: Slm, path: Path) -> None:
    outcome = slm("validate", path)
    assert outcome.out == ""
    assert outcome.code == 0


def test_all_examples_can_be_served_together(slm: Slm) -> None:
    assert slm("validate", EXAMPLES).code == 0


def test_tuned_has_every_field_of_a_model_from_the_catalogue() -> None:
    spec = yaml.safe_load((EXAMPLES / "tuned.yaml").read_text(encoding="utf-8"))["spec"]
    fields = {field.alias for field in SmallModelSpec.model_fields.values()}
    assert set(spec) == fields - {"source"}
    assert set(spec["scaling"]) == {field.alias for field in Scaling.model_fields.values()}
