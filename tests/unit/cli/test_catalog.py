"""`slm catalog` tells which models there are and what fits."""

import json

import pytest
import yaml

from smallmodel_operator.local.bundled import fetch_bundled_cards
from support.command_line import Slm


def test_the_list_has_every_card_with_licence_and_fit(slm: Slm) -> None:
    outcome = slm("catalog", "list", "--memory", "4Gi")
    assert outcome.code == 0
    header, *rows = outcome.out.splitlines()
    assert header.split()[:3] == ["NAME", "TASK", "PARAMETERS"]
    assert [row.split()[0] for row in rows] == list(fetch_bundled_cards().names)
    row = next(row for row in rows if row.startswith("llama-2-13b-chat"))
    assert "llama2 (restricted, gated)" in row
    assert "no: MemoryFit" in row


def test_fits_leaves_out_what_the_machine_cannot_serve(slm: Slm) -> None:
    names = [
        entry["name"]
        for entry in json.loads(
            slm("catalog", "list", "--fits", "--memory", "1Gi", "-o", "json").out
        )
    ]
    assert "smollm2-135m-instruct" in names
    assert "llama-2-13b-chat" not in names


@pytest.mark.parametrize("written", ["Embedding", "embedding"])
def test_a_task_selects_its_cards_however_it_is_written(slm: Slm, written: str) -> None:
    entries = json.loads(slm("catalog", "list", "--task", written, "-o", "json").out)
    assert {entry["task"] for entry in entries} == {"Embedding"}


def test_show_prints_variants_licence_and_provenance(slm: Slm) -> None:
    outcome = slm("catalog", "show", "smollm2-135m-instruct")
    assert outcome.code == 0
    for words in ("Apache-2.0", "q4_1", "Served", "94 MiB", "https://arxiv.org", "Fits here:"):
        assert words in outcome.out


def test_show_says_of_a_closed_model_what_to_take_instead(slm: Slm) -> None:
    outcome = slm("catalog", "show", "gemini-nano")
    assert outcome.code == 0
    assert "not published" in outcome.out
    assert "smollm2-1.7b-instruct" in outcome.out


def test_show_prints_the_card_as_an_object_of_kubernetes(slm: Slm) -> None:
    card = yaml.safe_load(slm("catalog", "show", "phi-2", "-o", "yaml").out)
    assert card["kind"] == "ModelCard"
    assert card["metadata"]["name"] == "phi-2"


def test_an_unknown_card_names_the_nearest(slm: Slm) -> None:
    outcome = slm("catalog", "show", "smollm2-135m")
    assert outcome.code == 4
    assert "did you mean smollm2-135m-instruct" in outcome.err


def test_an_unknown_card_that_is_like_none_points_to_the_list(slm: Slm) -> None:
    assert "slm catalog list" in slm("catalog", "show", "zzzzzzzz").err
