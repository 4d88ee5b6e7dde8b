"""`slm whatif`: another world from what was recorded, and what is said of bad words."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders.admission import model_cluster
from support.command_line import Slm

WORLD = Path(__file__).parents[3] / "examples/hybrid/world.yaml"


def rows(out: str) -> dict[str, list[str]]:
    lines = [line.split() for line in out.splitlines()]
    return {line[1]: line for line in lines if line[0] in {"support", "web"}}


def test_a_lost_cluster_is_told_by_who_moves_where_and_at_what_price(slm: Slm) -> None:
    outcome = slm("whatif", WORLD, "--lost", "munich")

    assert outcome.code == 0
    assert rows(outcome.out)["answers"][2:6] == ["munich", "frankfurt", "0.0022", "4.44"]
    assert "munich is lost; then" in outcome.out
    assert "1 would move, and for 0 there would be no place" in outcome.out


def test_a_law_is_told_by_who_has_no_place_and_others_stay(slm: Slm) -> None:
    words = ("--law", "support=FR", "--law", "web=DE", "-o", "json")
    report = json.loads(slm("whatif", WORLD, *words).out)

    fates = {one["name"]: one for one in report["fates"]}
    assert (report["models"], report["stops"]) == (3, 2)
    assert "then" not in fates["answers"]
    assert "ResidencyForbidden" in fates["answers"]["why"]
    assert fates["search"]["then"] in {"frankfurt", "munich"}


def test_a_price_may_rise_until_nobody_wants_to_be_there(slm: Slm) -> None:
    found = rows(slm("whatif", WORLD, "--price", "munich=1000").out)

    assert found["answers"][2:4] == ["munich", "frankfurt"]
    assert "mails" not in found


def test_where_nothing_would_change_only_the_sum_is_printed(slm: Slm, tmp_path: Path) -> None:
    items = yaml.safe_load(WORLD.read_text())["items"]
    kept = [one for one in items if one["metadata"]["name"] != "munich"]
    kept = [one for one in kept if "answers" not in one["metadata"]["name"]]
    path = tmp_path / "world.yaml"
    path.write_text(yaml.safe_dump_all(kept))

    outcome = slm("whatif", path)

    assert outcome.out.startswith("Of 2 running models 0 would move")


def test_the_page_shows_what_is_printed(slm: Slm, monkeypatch: pytest.MonkeyPatch) -> None:
    root = WORLD.parents[2]
    monkeypatch.chdir(root)
    text = (root / "docs/how-to/ask-what-would-happen-if.md").read_text(encoding="utf-8")

    shown = re.findall(r"```text\n\$ slm (whatif .*)\n((?:.*\n)+?)```", text)

    assert len(shown) == 5
    for words, printed in shown:
        assert slm(*words.split()).out == printed


BAD: dict[str, tuple[Any, tuple[str, ...], int, str]] = {
    "no such file": (None, (), 4, "does not exist. Record a world: kubectl get"),
    "no YAML": ("a: [", (), 3, "is not valid YAML"),
    "no cluster": ("", (), 3, "has no ModelCluster"),
    "another kind": ({"kind": "Secret"}, (), 3, "has Secret, and a world is made of"),
    "no object": ("- 1", (), 3, "has something without a kind"),
    "a field that nobody knows": (
        model_cluster(mood="good"),
        (),
        3,
        "ModelCluster a: spec.mood: Extra inputs are not permitted",
    ),
    "an unknown cluster": (model_cluster(), ("--lost", "b"), 2, "no cluster 'b'; there are: a"),
    "an unknown cluster's price": (model_cluster(), ("--price", "b=2"), 2, "no cluster 'b'"),
    "a price without a cluster": (model_cluster(), ("--price", "2"), 2, "such as edge=2"),
    "a price that is no number": (model_cluster(), ("--price", "a=b"), 2, "a number above 0"),
    "a price below zero": (model_cluster(), ("--price", "a=-1"), 2, "a number above 0"),
    "a law of no country": (model_cluster(), ("--law", "UK,DE"), 2, "'UK' is neither a country"),
}


@pytest.mark.parametrize(("content", "words", "code", "said"), BAD.values(), ids=BAD)
def test_bad_words_are_told_with_the_next_step(
    slm: Slm, tmp_path: Path, content: Any, words: tuple[str, ...], code: int, said: str
) -> None:
    path = tmp_path / "world.yaml"
    if content is not None:
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))

    outcome = slm("whatif", path, *words)

    assert outcome.code == code
    assert said in outcome.err
    assert "Traceback" not in outcome.err
