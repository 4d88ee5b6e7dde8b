"""Every test of the command line has folders of its own, and runs commands in this process."""

from pathlib import Path

import pytest

from smallmodel_operator.cli.main import main
from support.command_line import Outcome, Slm


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the user's own runs, cache and secrets out of the tests."""
    for variable in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    return tmp_path


@pytest.fixture
def slm(capsys: pytest.CaptureFixture[str]) -> Slm:
    """Run one command as the console entry does, errors mapped to exit codes."""

    def run(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err)

    return run
