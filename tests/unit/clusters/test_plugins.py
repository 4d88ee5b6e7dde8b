"""A credential plugin is run with little, for a short time, and believed only when it is right."""

import asyncio
import ctypes
import json
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from builders.cluster_profiles import API, access, credential, printing, profile, program, provider
from smallmodel_operator.clusters.plugins import PluginFailed, Plugins, Token
from smallmodel_operator.clusters.profiles import Access, read_profile
from support.waiting import eventually

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PR_SET_CHILD_SUBREAPER = 36
SECRET = "eyJhbGciOiJSUzI1NiJ9.secret"


def by(command: Path | str, *, cluster: dict[str, Any] | None = None, **config: Any) -> Access:
    return read_profile(profile(access(**(cluster or {}))), [provider(command, **config)])


async def ask(command: Path | str, **config: Any) -> Token:
    return await Plugins().ask(by(command, **config), NOW)


async def test_a_token_is_given_until_it_ends(tmp_path: Path) -> None:
    ends = NOW + timedelta(hours=1)
    told = credential(expirationTimestamp="2026-01-01T01:00:00Z")
    token = await ask(printing(tmp_path / "plugin", told))
    assert token == Token(text="a-token", given_at=NOW, expires_at=ends)
    assert token.renew_at == NOW + timedelta(minutes=48)
    assert "a-token" not in repr(token)


async def test_one_that_does_not_say_when_it_ends_is_not_renewed(tmp_path: Path) -> None:
    token = await ask(printing(tmp_path / "plugin", credential()))
    assert (token.expires_at, token.renew_at) == (None, None)


async def test_it_is_told_what_is_asked_and_gets_little_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALLMODEL_REDIS_ADDRESS", "redis:6379")
    seen = tmp_path / "seen"
    plugin = program(
        tmp_path / "plugin",
        f"env > {seen}; echo \"$*\" >> {seen}; pwd >> {seen}\necho '{json.dumps(credential())}'",
    )
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"clusterName": "edge"}}
    await ask(
        plugin,
        cluster={"extensions": [extension]},
        args=["--region", "a b"],
        env=[{"name": "REGION", "value": "eu"}],
        provideClusterInfo=True,
    )
    *variables, arguments, folder = seen.read_text().splitlines()
    told = dict(line.split("=", 1) for line in variables)
    assert (arguments, folder, told["REGION"]) == ("--region a b", "/", "eu")
    assert json.loads(told["KUBERNETES_EXEC_INFO"]) == {
        "apiVersion": API,
        "kind": "ExecCredential",
        "spec": {
            "interactive": False,
            "cluster": {
                "server": "https://edge.example.com:6443",
                "config": {"clusterName": "edge"},
            },
        },
    }
    assert not [name for name in told if name.startswith(("SMALLMODEL_", "PYTEST_", "KUBECONFIG"))]


async def test_of_the_cluster_it_is_told_only_where_that_was_asked_for(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    told = json.dumps(credential())
    await ask(
        program(tmp_path / "plugin", f"echo \"$KUBERNETES_EXEC_INFO\" > {seen}; echo '{told}'")
    )
    assert json.loads(seen.read_text())["spec"] == {"interactive": False}


ANSWERS: dict[str, tuple[str, str]] = {
    "it ends with an error": ("exit 3", "ended with the exit status 3, and 0 is expected"),
    "it is ended": ("kill -9 $$", "ended with the exit status -9"),
    "it prints nothing": ("true", "printed 0 bytes that are no JSON object"),
    "it prints words": ("echo token", "printed 6 bytes that are no JSON object"),
    "it prints a list": ("echo '[]'", "printed 3 bytes that are no JSON object"),
    "it prints without end": ("head -c 100000 /dev/zero", "wrote more than 65536 bytes"),
    "an older exchange": (
        f"echo '{json.dumps(credential() | {'apiVersion': f'{API}beta1'})}'",
        "of apiVersion client.authentication.k8s.io/v1beta1, and client.authentication.k8s.io/v1",
    ),
    "another kind": (f"echo '{json.dumps(credential() | {'kind': 'Status'})}'", "of kind Status"),
    "a kind of its own": (
        f"echo '{json.dumps(credential() | {'kind': SECRET * 9})}'",
        "of kind that is not told here",
    ),
    "no token": (f"echo '{json.dumps(credential(token=None))}'", "with nothing usable in status"),
    "no status": (f"echo '{json.dumps(credential() | {'status': 1})}'", "nothing usable"),
    "a token of two lines": (
        f"echo '{json.dumps(credential(token='a b'))}'",
        "nothing usable in status",
    ),
    "a certificate": (
        f"echo '{json.dumps(credential(token=None, clientCertificateData='PEM'))}'",
        "with a client certificate in status, and a token",
    ),
    "no time": (
        f"echo '{json.dumps(credential(expirationTimestamp='soon'))}'",
        "no time with a zone",
    ),
    "a number": (f"echo '{json.dumps(credential(expirationTimestamp=1))}'", "no time with a zone"),
    "no zone": (
        f"echo '{json.dumps(credential(expirationTimestamp='2026-01-01T01:00:00'))}'",
        "no time with a zone",
    ),
    "a time that does not exist": (
        f"echo '{json.dumps(credential(expirationTimestamp='0001-01-01T00:00:00+14:00'))}'",
        "no time with a zone",
    ),
    "an expired token": (
        f"echo '{json.dumps(credential(expirationTimestamp='2026-01-01T00:00:00Z'))}'",
        r"expired at 2026-01-01T00:00:00\+00:00, and it is 2026-01-01T00:00:00",
    ),
}


@pytest.mark.parametrize(("body", "told"), ANSWERS.values(), ids=ANSWERS)
async def test_whatever_is_no_token_is_told(tmp_path: Path, body: str, told: str) -> None:
    plugin = program(tmp_path / "plugin", body)
    with pytest.raises(PluginFailed, match=told) as failed:
        await ask(plugin)
    text = str(failed.value)
    assert text.startswith(f"The credential plugin {plugin} for the provider gke in ClusterProfile")
    assert SECRET not in text
    assert "a-token" not in text


async def test_a_program_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    with pytest.raises(PluginFailed, match=r"cannot be started \(No such file or directory\)"):
        await ask("/plugins/gke")
    (tmp_path / "plugin").write_text("#!/bin/sh\n")
    with pytest.raises(PluginFailed, match=r"cannot be started \(Permission denied\)"):
        await ask(tmp_path / "plugin")
    with pytest.raises(PluginFailed, match="it has a zero byte"):
        await ask(printing(tmp_path / "other", credential()), args=["\0"])


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A child of init's is gone once it is a zombie: nobody here waits for it.
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


async def test_one_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    plugin = program(tmp_path / "plugin", f"sleep 600 &\necho $$ $! > {pids}; wait")
    with pytest.raises(PluginFailed, match=r"did not end within 0\.5 s, and was ended"):
        await Plugins(seconds=0.5).ask(by(plugin), NOW)
    started = [int(pid) for pid in pids.read_text().split()]
    await eventually(lambda: not any(map(alive, started)), "nothing of it is left")


@pytest.fixture
def first_process() -> Iterator[None]:
    """Be what a pod's first process is: whose parent has ended becomes this one's child."""
    libc = ctypes.CDLL(None)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) == 0


@pytest.mark.usefixtures("first_process")
async def test_nothing_of_one_that_hung_stays_behind_in_a_pod(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    plugin = program(tmp_path / "plugin", f"sleep 600 &\necho $! > {pids}; wait")
    with pytest.raises(PluginFailed, match="was ended"):
        await Plugins(seconds=0.5).ask(by(plugin), NOW)
    assert not Path("/proc", pids.read_text().strip()).exists()


async def test_one_is_ended_with_whoever_asked_it(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    plugin = program(tmp_path / "plugin", f"echo $$ > {pids}.new; mv {pids}.new {pids}; sleep 600")
    task = asyncio.create_task(ask(plugin))
    await eventually(pids.exists, "it runs")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: not alive(int(pids.read_text())), "nothing of it is left")


async def test_what_it_says_of_its_error_is_logged_without_what_may_be_a_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plugin = program(tmp_path / "plugin", f"echo 'no such region: {SECRET}' >&2; exit 1")
    with caplog.at_level(logging.WARNING), pytest.raises(PluginFailed) as failed:
        await ask(plugin)
    assert "the credential plugin gke said: no such region: …" in caplog.text
    assert "no such region" not in str(failed.value)


async def test_one_that_says_very_much_does_not_wait_for_a_reader(tmp_path: Path) -> None:
    told = json.dumps(credential())
    plugin = program(tmp_path / "plugin", f"head -c 1000000 /dev/zero >&2; echo '{told}'")
    assert (await ask(plugin)).text == "a-token"
