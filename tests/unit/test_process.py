"""What a process of the operator sets for all that it does."""

from asyncio import sslproto
from pathlib import Path

import pytest

from builders.operators import REQUIRED
from smallmodel_operator import process
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.process import FAILED, Acting, Process, program
from smallmodel_operator.settings import Settings


def test_a_connection_with_tls_takes_an_eighth_of_what_python_gives_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def nothing(_api: Api, _process: Process) -> Acting:
        raise AssertionError("there is no cluster to act on")

    monkeypatch.setattr(process, "set_up_logging", lambda **_: None)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    # Put back after this test.
    monkeypatch.setattr(sslproto.SSLProtocol, "max_size", 2**18)

    assert program("operator", Settings.from_environment(REQUIRED), nothing) == FAILED
    assert sslproto.SSLProtocol.max_size == 2**15
