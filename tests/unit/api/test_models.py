"""What the models refuse says the value, the rule and the next step."""

from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from builders.yaml_objects import YamlObject, architecture, model_card, small_model, variant
from smallmodel_operator.api import patterns, schema
from smallmodel_operator.api.crd import KINDS
from smallmodel_operator.api.datasource import bucket_name
from smallmodel_operator.api.modelcard import ModelCard
from smallmodel_operator.api.smallmodel import SmallModel

SMALL_MODEL_MESSAGES: dict[str, tuple[YamlObject, tuple[str, ...]]] = {
    "neither": (small_model(engine="Auto"), ("neither is", "write `model: <card>`")),
    "both": (small_model(model="a", source={"uri": "hf://a/b"}), ("both is",)),
    "bounds": (
        small_model(model="a", scaling={"minReplicas": 5, "maxReplicas": 2}),
        ("minReplicas 5 is more than maxReplicas 2", "raise maxReplicas"),
    ),
    "idle": (
        small_model(model="a", scaling={"parkAfter": "1m"}),
        ("parkAfter 1m is shorter than idleTimeout 5m",),
    ),
    "name": (small_model("a" * 41), ("has 41 characters", "at most 40")),
}

MODEL_CARD_MESSAGES: dict[str, tuple[YamlObject, tuple[str, ...]]] = {
    "open": (model_card(variants=[]), ("needs at least one variant",)),
    "closed": (
        model_card(closed={"reason": "Kept.", "alternatives": ["a"]}),
        ("has no variants",),
    ),
    "variants": (
        model_card(variants=[variant("a"), variant("a")]),
        ("variant names must differ", "['a', 'a']"),
    ),
    "layers": (
        model_card(architecture=architecture(layers=5, kvHeads=[1, 2])),
        ("kvHeads has 2 numbers", "the 5 layers"),
    ),
}


@pytest.mark.parametrize("case", SMALL_MODEL_MESSAGES)
def test_a_small_model_is_refused_with_its_values(case: str) -> None:
    given, expected = SMALL_MODEL_MESSAGES[case]
    with pytest.raises(ValidationError) as caught:
        SmallModel.model_validate(given)
    assert [text for text in expected if text not in str(caught.value)] == []


@pytest.mark.parametrize("case", MODEL_CARD_MESSAGES)
def test_a_card_is_refused_with_its_values(case: str) -> None:
    given, expected = MODEL_CARD_MESSAGES[case]
    with pytest.raises(ValidationError) as caught:
        ModelCard.model_validate(given)
    assert [text for text in expected if text not in str(caught.value)] == []


def test_metadata_of_the_cluster_is_ignored() -> None:
    given = small_model()
    given["metadata"] |= {"uid": "1", "managedFields": [{"manager": "kubectl"}]}
    assert SmallModel.model_validate(given).metadata.name == "chat"


def test_fields_are_named_in_yaml_spelling() -> None:
    assert "maxReplicas" in schema.fields_at(SmallModel, ("spec", "scaling"))
    assert schema.fields_at(SmallModel, ("spec", "resources", "accelerator")) == ("class", "count")
    assert "bitsPerWeight" in schema.fields_at(ModelCard, ("spec", "variants", 3))


@pytest.mark.parametrize(
    "location", [("spec", "engineArgs"), ("spec", "engineArgs", "n_batch"), ("spec", "nothing")]
)
def test_where_no_model_stands_no_fields_are_named(location: tuple[str, ...]) -> None:
    assert schema.fields_at(SmallModel, location) == ()


def patterns_in(node: object) -> Iterator[str]:
    """Every pattern in a JSON schema."""
    if isinstance(node, dict):
        if isinstance(node.get("pattern"), str):
            yield node["pattern"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from patterns_in(child)


def test_every_pattern_of_the_api_has_a_meaning_in_words_and_each_is_used() -> None:
    used = {found for kind in KINDS for found in patterns_in(kind.model.model_json_schema())}
    assert used == set(patterns.MEANINGS)


def test_the_name_of_a_bucket_is_read_out_of_its_address_and_of_no_other_text() -> None:
    assert bucket_name("s3://records.2026-11") == "records.2026-11"
    with pytest.raises(ValueError, match=r"'s3://records/\.\.' is not s3:// and"):
        bucket_name("s3://records/..")
    # Where Python's `$` would match, too.
    with pytest.raises(ValueError, match=r"'s3://records\\n' is not s3://"):
        bucket_name("s3://records\n")
