"""`slm plan` shows what would run, with the arithmetic, and why the rest would not."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders.yaml_objects import CHAT_YAML, small_model
from smallmodel_operator.local.paths import secrets_folder
from support.command_line import Slm


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    path = tmp_path / "chat.yaml"
    path.write_text(CHAT_YAML, encoding="utf-8")
    return path


def manifest(folder: Path, **fields: Any) -> Path:
    path = folder / "model.yaml"
    path.write_text(yaml.safe_dump(small_model(**fields)), encoding="utf-8")
    return path


def test_the_chosen_option_comes_with_its_memory_as_a_sum(slm: Slm, chat: Path) -> None:
    outcome = slm("plan", chat, "--memory", "4Gi", "--cpus", "2")
    assert outcome.code == 0
    plan = yaml.safe_load(outcome.out)
    assert plan["machine"]["memoryForModels"] == "4.0 GiB"
    assert plan["machine"]["cpuCores"] == 2
    [model] = plan["models"]
    assert model["runs"] is True
    assert model["chosen"]["variant"] == "q4_1"
    memory = model["memory"]
    parts = [memory[part] for part in ("weights", "kvCache", "compute", "process")]
    assert sum(parts) == memory["total"]
    assert "4096 tokens x 4 slots" in memory["sum"]
    [rejected] = model["rejected"]
    assert rejected["variant"] == "bf16"
    assert rejected["reason"] in {"EngineNotInstalled", "AcceleratorMissing"}


def test_too_little_memory_says_need_have_and_what_would_fit(slm: Slm, tmp_path: Path) -> None:
    path = manifest(tmp_path, model="mistral-7b-instruct-v0.3")
    outcome = slm("plan", path, "--memory", "2Gi")
    assert outcome.code == 5
    [model] = yaml.safe_load(outcome.out)["models"]
    assert model["reason"] == "MemoryFit"
    assert "2.0 GiB" in model["message"]
    assert "needs" in model["message"]
    # The largest model of the catalogue with the same task that has room in 2 GiB.
    assert "fits" in model["message"]
    assert f"{path}:" in outcome.err
    assert "spec.model" in outcome.err


def test_a_gated_model_without_its_secret_says_where_to_put_it(slm: Slm, tmp_path: Path) -> None:
    path = manifest(tmp_path, model="llama-3.2-1b-instruct", acceptLicense="llama3.2")
    outcome = slm("plan", path)
    assert outcome.code == 5
    assert "SecretMissing" in outcome.out
    assert "smallmodel/secrets/huggingface" in outcome.err
    secrets_folder().mkdir(parents=True)
    (secrets_folder() / "huggingface").write_text("token", encoding="utf-8")
    assert "SecretMissing" not in slm("plan", path).out


def test_a_broken_manifest_is_told_and_the_good_ones_are_planned(
    slm: Slm, tmp_path: Path, chat: Path
) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("kind: [\n", encoding="utf-8")
    outcome = slm("plan", chat, broken)
    assert outcome.code == 3
    assert [model["name"] for model in yaml.safe_load(outcome.out)["models"]] == ["chat"]
    assert f"{broken}:2: " in outcome.err


def test_weights_named_directly_are_planned_once_they_are_fetched(slm: Slm, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    body = small_model()
    body["spec"] = {"source": {"uri": "https://models.example/own.gguf"}}
    path.write_text(yaml.safe_dump(body), encoding="utf-8")
    outcome = slm("plan", path)
    [model] = yaml.safe_load(outcome.out)["models"]
    assert outcome.code == 0
    assert (model["runs"], model["reason"]) == (False, "Waiting")
    assert "slm up" in model["message"]


def test_the_serve_config_has_the_model_and_the_index(slm: Slm, chat: Path) -> None:
    config = yaml.safe_load(slm("plan", chat, "--serve").out)
    assert [app["name"] for app in config["applications"]] == ["_index", "chat"]


def test_the_gateway_config_routes_to_the_model(slm: Slm, chat: Path) -> None:
    files = json.loads(slm("plan", chat, "--gateway", "--output", "json").out)
    assert set(files) == {"bootstrap.yaml", "routes.yaml", "clusters.yaml"}
    assert "chat" in files["routes.yaml"]


def test_the_gateway_config_is_printed_as_yaml_documents(slm: Slm, chat: Path) -> None:
    printed = slm("plan", chat, "--gateway").out
    documents = [document for document in yaml.safe_load_all(printed) if document]
    assert len(documents) == 3


def test_serve_and_gateway_together_are_a_wrong_usage(slm: Slm, chat: Path) -> None:
    outcome = slm("plan", chat, "--serve", "--gateway")
    assert outcome.code == 2
    assert "--serve" in outcome.err


def test_a_memory_that_is_no_quantity_is_a_wrong_usage(slm: Slm, chat: Path) -> None:
    outcome = slm("plan", chat, "--memory", "lots")
    assert outcome.code == 2
    assert "--memory: 'lots' is not a quantity" in outcome.err


def test_a_table_has_one_row_for_each_model(slm: Slm, chat: Path) -> None:
    lines = slm("plan", chat, "--output", "table", "--memory", "4Gi").out.splitlines()
    assert lines[0].split()[:3] == ["NAME", "ENGINE", "VARIANT"]
    assert lines[1].split()[:3] == ["chat", "LlamaCpp", "q4_1"]


def test_the_same_input_gives_the_same_bytes(slm: Slm, chat: Path) -> None:
    arguments = ("plan", chat, "--memory", "4Gi", "--cpus", "2")
    assert slm(*arguments).out == slm(*arguments).out
