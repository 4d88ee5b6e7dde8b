"""Every command ends with a documented exit code and one message, never a traceback."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from builders.yaml_objects import CHAT_YAML
from smallmodel_operator import __version__
from smallmodel_operator.api.crd import KINDS
from smallmodel_operator.cli.errors import CommandError, ExitCode
from smallmodel_operator.local.errors import LocalError, NotRunning, PlatformUnsupported, PortTaken
from support.command_line import Slm

ROOT = Path(__file__).parents[3]
SLM = Path(sys.executable).with_name("slm")


def test_the_version_is_the_distributions(slm: Slm) -> None:
    assert slm("version").out == f"slm {__version__}\n"


def test_the_reference_documents_every_exit_code() -> None:
    text = (ROOT / "docs/reference/exit-codes.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| (\d+) \| `(\w+)`", text, re.MULTILINE)
    assert documented == [(str(code.value), code.name) for code in ExitCode]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandError("why", ExitCode.UNFIT), 5),
        (LocalError("why"), 1),
        (NotRunning("why"), 4),
        (PortTaken("why"), 6),
        (PlatformUnsupported("why"), 7),
        (PermissionError(13, "why", "/a/file"), 1),
        (RuntimeError("why"), 1),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_each_failure_has_its_exit_code_and_no_traceback(
    slm: Slm, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    monkeypatch.setattr("smallmodel_operator.cli.main.print_text", _raising(error))
    outcome = slm("version")
    assert outcome.code == code
    assert "Traceback" not in outcome.err
    if code != 130:
        assert outcome.err.startswith("Error: ")
        assert "why" in outcome.err


def test_debug_shows_the_traceback(slm: Slm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smallmodel_operator.cli.main.print_text", _raising(RuntimeError("why")))
    assert "Traceback (most recent call last)" in slm("--debug", "version").err


@pytest.mark.parametrize(
    "arguments",
    [["nope"], ["get", "--nope"], ["get", "--port", "many"], ["validate"], ["get", "-o", "xml"]],
    ids=" ".join,
)
def test_a_wrong_usage_exits_with_2(slm: Slm, arguments: list[str]) -> None:
    outcome = slm(*arguments)
    assert outcome.code == 2
    assert "Usage: slm" in outcome.err


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_platforms_are_told_at_once_to_use_linux(
    slm: Slm, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    outcome = slm("catalog", "list")
    assert outcome.code == 7
    assert outcome.out == ""
    assert platform in outcome.err
    assert "Linux virtual machine or container" in outcome.err


def test_starting_imports_nothing_slow() -> None:
    program = (
        "import sys, smallmodel_operator.cli.main\n"
        "slow = {'aiohttp', 'envoy', 'httpx', 'psutil', 'ray', 'rich', 'watchfiles', 'xllamacpp'}\n"
        "print(sorted(slow & sys.modules.keys()))"
    )
    assert _python(program) == "[]\n"


@pytest.mark.parametrize("command", ["catalog", "plan", "crd"])
def test_what_is_piped_has_no_colour_and_whole_lines(tmp_path: Path, command: str) -> None:
    (tmp_path / "chat.yaml").write_text(CHAT_YAML, encoding="utf-8")
    arguments = {
        "catalog": ["catalog", "list"],
        "plan": ["plan", "chat.yaml", "-o", "table"],
        "crd": ["crd"],
    }
    # A pipe that says it is a colour terminal is still a pipe.
    ended = subprocess.run(
        [SLM, *arguments[command]],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "TERM": "xterm-256color", "COLUMNS": "40"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "\x1b" not in ended.stdout
    assert all(line == line.rstrip() for line in ended.stdout.splitlines())


def test_the_installed_program_has_the_same_exit_codes_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("kind: [\n", encoding="utf-8")
    ended = subprocess.run(
        [SLM, "validate", "bad.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 3
    assert ended.stdout.startswith("bad.yaml:2: this is not valid YAML")
    assert "Traceback" not in ended.stderr


def test_the_definitions_are_those_of_every_kind(slm: Slm) -> None:
    documents = list(yaml.safe_load_all(slm("crd").out))
    assert [document["spec"]["names"]["kind"] for document in documents] == [
        "SmallModel",
        "ModelCard",
        "ModelCluster",
        "DataSource",
        "ModelPlacement",
    ]


@pytest.mark.parametrize("name", ["SmallModel", "smallmodels", "sm", "smallmodels.smallmodel.dev"])
def test_one_definition_is_found_by_each_of_its_names(slm: Slm, name: str) -> None:
    document = yaml.safe_load(slm("crd", name).out)
    assert document["metadata"]["name"] == "smallmodels.smallmodel.dev"


def test_definitions_as_json_are_a_list_that_kubectl_takes(slm: Slm) -> None:
    printed = yaml.safe_load(slm("crd", "-o", "json").out)
    assert printed["kind"] == "List"
    assert len(printed["items"]) == len(KINDS)


def test_an_unknown_kind_names_those_there_are(slm: Slm) -> None:
    outcome = slm("crd", "Pod")
    assert outcome.code == 4
    assert "SmallModel" in outcome.err


def _raising(error: BaseException) -> Callable[[str], None]:
    def fail(_text: str) -> None:
        raise error

    return fail


def _python(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
