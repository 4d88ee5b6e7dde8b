"""Cards are read from YAML, and an error names its file and field."""

import pytest

from builders.cards import CardBuilder, catalog
from smallmodel_operator.catalog.cards import CardError, parse_cards


def card(name: str, extra: str = "") -> str:
    return f"""
apiVersion: smallmodel.dev/v1alpha1
kind: ModelCard
metadata:
  name: {name}
spec:
  displayName: {name}
  publisher: Somebody
  family: little
  task: Chat
  languages: [en]
  license: {{id: MIT, name: MIT License, url: 'https://opensource.org/license/mit'}}
  contextLength: 2048
  intendedUse: Tests
  limits: Not a real model
  provenance: {{card: 'https://example.com/card'}}
  variants:
  - {{name: q8_0, format: GGUF, engine: LlamaCpp, uri: 'hf://org/repo/q8.gguf', bitsPerWeight: 8.5}}
{extra}"""


def test_cards_of_all_files_are_found_by_name_whatever_their_order() -> None:
    found = parse_cards({"b.yaml": card("zeta"), "a.yaml": f"---{card('beta')}---{card('alpha')}"})

    assert found.names == ("alpha", "beta", "zeta")
    beta = found.get("beta")
    assert beta is not None
    assert beta.metadata.name == "beta"
    assert found.get("gamma") is None


def test_no_text_is_an_empty_catalogue() -> None:
    assert parse_cards({}).names == ()
    assert parse_cards({"empty.yaml": "# nothing\n---\n"}).names == ()


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ({"bad.yaml": "a: [1"}, ["bad.yaml", "not valid YAML"]),
        (
            {"bad.yaml": card("one", "  colour: red\n")},
            ["bad.yaml", "card 'one'", "spec.colour"],
        ),
        ({"bad.yaml": "kind: ModelCard\n"}, ["bad.yaml", "document 1", "metadata", "spec"]),
        ({"bad.yaml": "metadata: [1]\n"}, ["bad.yaml", "document 1", "metadata"]),
        ({"bad.yaml": "- 1\n"}, ["bad.yaml", "document 1", "the document"]),
        (
            {"a.yaml": card("one"), "b.yaml": card("one")},
            ["b.yaml: metadata.name 'one' is already a card of a.yaml"],
        ),
    ],
    ids=["not-yaml", "unknown-field", "missing-fields", "odd-metadata", "no-mapping", "taken-name"],
)
def test_an_error_names_the_file_and_the_field(texts: dict[str, str], told: list[str]) -> None:
    with pytest.raises(CardError) as caught:
        parse_cards(texts)

    assert [part for part in told if part not in str(caught.value)] == []


def test_a_mistyped_name_finds_at_most_three_near_ones_best_first() -> None:
    names = ["smollm2-135m", "smollm2-360m", "smollm2-1.7b", "smollm2-1.6b", "phi-2"]
    found = catalog(*(CardBuilder(name=name) for name in names))

    near = found.nearest("smolm2-135m")

    assert near[0] == "smollm2-135m"
    assert len(near) == 3
    assert "phi-2" not in near
    assert found.nearest("zzz") == ()


def test_a_catalogue_extended_by_cards_has_both_and_the_later_of_one_name() -> None:
    shipped = catalog(CardBuilder(name="phi-2"), CardBuilder(name="gpt2"))
    own = CardBuilder(name="gpt2", context_length=512).build(), CardBuilder(name="alpha").build()

    found = shipped.extended_by(own)

    assert found.names == ("alpha", "gpt2", "phi-2")
    replaced = found.get("gpt2")
    assert replaced is not None
    assert replaced.spec.context_length == 512
