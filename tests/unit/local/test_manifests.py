"""Manifests become objects, or problems that name file, line, field, rule and next step."""

import os
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from builders.yaml_objects import CHAT_YAML, chat_text, model_card, small_model, variant
from smallmodel_operator.api.modelcard import ModelCard
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import SmallModel
from smallmodel_operator.local.manifests import (
    Declared,
    Manifest,
    Problem,
    parse,
    read_manifests,
    without_duplicates,
)


def objects(text: str) -> list[Declared]:
    """The objects of a text that has no problem."""
    found = parse(text, "f.yaml")
    assert [str(item) for item in found if isinstance(item, Problem)] == []
    return [item.object for item in found if isinstance(item, Manifest)]


def problems(text: str) -> list[Problem]:
    """The problems of a text."""
    return [item for item in parse(text, "f.yaml") if isinstance(item, Problem)]


def test_all_problems_of_a_document_are_told_in_the_order_of_lines() -> None:
    text = chat_text("bla: 1\nengine: vllm\ncontextLength: 1\nscaling: {idleTimeout: 5}")
    assert [problem.line for problem in problems(text)] == [6, 7, 8, 9]


def test_a_problem_is_one_line_that_an_editor_can_jump_to() -> None:
    assert str(problems(chat_text("model: a\nengine: vllm"))[0]).startswith(
        "f.yaml:7: spec.engine: 'vllm' is not known here"
    )
    assert str(problems("a: b: c")[0]).startswith("f.yaml:1: this is not valid YAML")


def test_a_broken_document_leaves_the_good_ones_beside_it() -> None:
    text = "---\n".join([CHAT_YAML, "a: [\n", chat_text("model: b", "later"), "kind: x\n"])
    found = parse(text, "f.yaml")
    assert [item.object.metadata.name for item in found if isinstance(item, Manifest)] == [
        "chat",
        "later",
    ]
    assert [item.line for item in found if isinstance(item, Problem)] == [9, 17]


def test_lines_are_those_of_the_file_in_every_document() -> None:
    text = "---\n".join(["# a comment\n", CHAT_YAML, chat_text("model: a\nengine: x")])
    assert [item.line for item in parse(text, "f.yaml")] == [3, 16]


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n---\n", "--- \n...\n", "~"])
def test_empty_documents_are_skipped(text: str) -> None:
    assert parse(text, "f.yaml") == ()


def test_a_separator_inside_a_document_end_or_with_a_directive_is_read_as_yaml_says() -> None:
    text = f"%YAML 1.1\n---\n{CHAT_YAML}...\n---\n{CHAT_YAML.replace('chat', 'other')}"
    assert [found.metadata.name for found in objects(text)] == ["chat", "other"]


def test_dashes_inside_a_text_do_not_end_a_document() -> None:
    text = chat_text("model: a").replace(
        "name: chat", "name: chat\n  annotations:\n    note: |\n      a\n      ---\n      b"
    )
    assert objects(text)[0].metadata.annotations == {"note": "a\n---\nb\n"}


def test_a_field_of_a_list_is_found_in_its_own_line() -> None:
    text = yaml.safe_dump(model_card(variants=[variant(), variant("bf16", format="Zip")]))
    found = problems(text)[0]
    assert (found.field, text.splitlines()[found.line - 1].strip()) == (
        "spec.variants[1].format",
        "format: Zip",
    )


def test_what_a_cluster_adds_is_ignored() -> None:
    text = CHAT_YAML.replace(
        "name: chat", "name: chat\n  uid: abc\n  creationTimestamp: 2026-01-01"
    )
    found = objects(text + "status:\n  anything: [1, 2]\n")[0]
    assert isinstance(found, SmallModel)
    assert found.status.conditions == ()


def test_an_empty_section_takes_its_defaults() -> None:
    assert objects(chat_text("model: a\nscaling:\nresources:")) == objects(chat_text("model: a"))


def test_an_anchor_may_be_used_again_and_its_fields_overridden() -> None:
    text = chat_text("""
        model: a
        scaling: &usual {minReplicas: 1, maxReplicas: 2}
        """)
    second = chat_text("""
        model: b
        resources:
          accelerator: &gpu {class: NVIDIA-L4}
        scaling:
          <<: {minReplicas: 1, maxReplicas: 2}
          maxReplicas: 5
        """)
    first, other = objects(f"{text}---\n{second}")
    assert isinstance(first, SmallModel)
    assert isinstance(other, SmallModel)
    assert (first.spec.scaling.max_replicas, other.spec.scaling.max_replicas) == (2, 5)
    assert other.spec.scaling.min_replicas == 1


def test_an_overridden_field_is_found_in_its_own_line() -> None:
    text = chat_text("model: a\nscaling:\n  <<: {maxReplicas: 2}\n  maxReplicas: 1000")
    assert [problem.line for problem in problems(text)] == [9]


def test_a_card_is_read_beside_models() -> None:
    text = yaml.safe_dump_all([small_model(), model_card()])
    assert [type(found) for found in objects(text)] == [SmallModel, ModelCard]


@given(st.text())
def test_no_text_raises(text: str) -> None:
    for item in parse(text, "f.yaml"):
        assert item.line >= 1


lines_of_yaml = st.lists(
    st.sampled_from(
        ["---", "...", "%YAML 1.1", "a: b", "- a", "a: &x", " b: *x", "? [a]", "<<: *x"]
    ),
    max_size=8,
)


@given(lines_of_yaml)
def test_no_mixture_of_yaml_lines_raises(lines: list[str]) -> None:
    parse("\n".join(lines), "f.yaml")


@given(st.lists(st.sampled_from([CHAT_YAML, "a: [\n", "kind: x\n", "# nothing\n"]), max_size=6))
def test_each_good_document_is_read_whatever_stands_beside_it(documents: list[str]) -> None:
    found = parse("---\n".join(documents), "f.yaml")
    good = [item for item in found if isinstance(item, Manifest)]
    assert len(good) == documents.count(CHAT_YAML)


def test_of_two_objects_with_one_name_the_first_is_kept() -> None:
    first = [item for item in parse(CHAT_YAML, "a.yaml") if isinstance(item, Manifest)]
    second = [
        item
        for item in parse(f"{CHAT_YAML}---\n{chat_text('model: b', 'other')}", "b.yaml")
        if isinstance(item, Manifest)
    ]
    kept, found = without_duplicates([*first, *second])
    assert [(item.file, item.object.metadata.name) for item in kept] == [
        ("a.yaml", "chat"),
        ("b.yaml", "other"),
    ]
    assert [(item.file, item.reason, item.field) for item in found] == [
        ("b.yaml", Reason.DUPLICATE_NAME, "metadata.name")
    ]
    assert "a.yaml:1" in found[0].message


def test_a_model_and_a_card_may_have_one_name() -> None:
    text = yaml.safe_dump_all([small_model("tiny", model="tiny"), model_card("tiny")])
    manifests = [item for item in parse(text, "f.yaml") if isinstance(item, Manifest)]
    assert without_duplicates(manifests) == (tuple(manifests), ())


def test_folders_are_read_sorted_and_other_files_left_alone(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(chat_text("model: a", "b"))
    (tmp_path / "a.yml").write_text(chat_text("model: a", "a"))
    (tmp_path / "README.md").write_text("not: [yaml")
    (tmp_path / "folder.yaml").mkdir()
    found = read_manifests([tmp_path])
    assert [model.metadata.name for model in found.models] == ["a", "b"]
    assert found.problems == ()


def test_a_file_that_is_reached_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(CHAT_YAML)
    found = read_manifests([tmp_path, tmp_path / "a.yaml"])
    assert (len(found.models), found.problems) == (1, ())


def test_models_and_cards_of_all_files_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(yaml.safe_dump_all([model_card(), small_model()]))
    found = read_manifests([tmp_path])
    assert [card.metadata.name for card in found.cards] == ["tiny"]
    assert [model.metadata.name for model in found.models] == ["chat"]


def test_a_name_that_two_files_use_is_a_problem_of_the_second(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(CHAT_YAML)
    found = read_manifests([tmp_path])
    assert [manifest.file for manifest in found.manifests] == [str(tmp_path / "a.yaml")]
    assert [problem.file for problem in found.problems] == [str(tmp_path / "b.yaml")]


def test_a_file_that_is_missing_is_a_problem_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(CHAT_YAML)
    found = read_manifests([tmp_path / "none.yaml", tmp_path / "a.yaml"])
    assert [str(problem) for problem in found.problems] == [
        f"{tmp_path / 'none.yaml'}: cannot be read: No such file or directory"
    ]
    assert len(found.models) == 1


@pytest.mark.parametrize("name", ["loop.yaml", "a" * 300])
def test_a_path_that_the_system_refuses_is_a_problem(tmp_path: Path, name: str) -> None:
    if name == "loop.yaml":
        os.symlink(tmp_path / name, tmp_path / name)
    assert "cannot be read" in read_manifests([tmp_path / name]).problems[0].message


def test_a_folder_without_manifests_is_a_problem(tmp_path: Path) -> None:
    assert "no *.yaml or *.yml file" in read_manifests([tmp_path]).problems[0].message


def test_a_byte_order_mark_is_dropped_and_other_encodings_are_told(tmp_path: Path) -> None:
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbf" + CHAT_YAML.encode())
    (tmp_path / "latin.yaml").write_bytes(b"# a\n# \xe9t\xe9\n")
    found = read_manifests([tmp_path])
    assert len(found.models) == 1
    assert [(problem.line, problem.message) for problem in found.problems] == [
        (2, "byte 6 is not UTF-8; save the file as UTF-8")
    ]


def test_a_hundred_manifests_are_soon_read(tmp_path: Path) -> None:
    """A tenth of the limit on a machine that does nothing else."""
    for number in range(100):
        (tmp_path / f"{number}.yaml").write_text(chat_text("model: a", f"m{number}"))
    started = time.process_time()
    found = read_manifests([tmp_path])
    assert time.process_time() - started < 5
    assert len(found.models) == 100
