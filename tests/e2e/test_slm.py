"""`slm` against the cluster, as a user of a team types it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from support.command_line import Outcome
from support.installation import Installed, Team

pytestmark = pytest.mark.e2e

PROGRAM = Path(sys.executable).with_name("slm")


@pytest.fixture(scope="module")
def team(operator: Installed) -> Iterator[Team]:
    """One namespace for all of these tests, with one model that is Ready."""
    made = operator.new_team()
    made.apply_model("chat")
    made.wait_ready("chat")
    yield made
    made.kubectl("delete", "sm", "--all", within=120)
    operator.remove_team(made)


def environment(team: Team) -> dict[str, str]:
    return {**os.environ, "KUBECONFIG": str(team.cluster.kubeconfig), "SLM_TARGET": "cluster"}


def slm(team: Team, *words: str | Path, program: Path = PROGRAM) -> Outcome:
    ended = subprocess.run(
        [program, *words, "-n", team.namespace],
        env=environment(team), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in ended.stderr
    return Outcome(ended.returncode, ended.stdout, ended.stderr)


def test_get_shows_the_model(team: Team) -> None:
    header, row = slm(team, "get").out.splitlines()
    assert header.split() == ["NAME", "MODEL", "ENGINE", "VARIANT", "REPLICAS", "STATE", "URL"]
    assert row.split()[:3] == ["chat", "smollm2-135m-instruct", "LlamaCpp"]
    assert row.split()[5] in {"Ready", "Asleep", "Parked"}


def test_as_a_plugin_of_kubectl(team: Team) -> None:
    path = f"{PROGRAM.parent}:{os.environ['PATH']}"
    ended = subprocess.run(
        ["kubectl", "slm", "get", "-n", team.namespace],
        env={**environment(team), "PATH": path}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "chat" in ended.stdout


def test_describe_says_where_and_why(team: Team) -> None:
    told = slm(team, "describe", "chat").out
    pool = team.model("chat")["status"]["copies"][0]["pool"]
    assert "Why here:" in told
    assert pool in told
    for section in ("Choice:", "Weights:", "Pool:", "Pods:", "Conditions:", "Events:"):
        assert f"\n{section}\n" in told, told
    assert "Waits for:" not in told
    assert "Not shown:" not in told


def test_a_model_is_talked_to(team: Team) -> None:
    answered = slm(team, "chat", "chat", "--once", "Say hello.")
    assert answered.code == 0, answered.err
    assert answered.out.strip()


def test_a_forwarded_url_serves_the_official_client(team: Team) -> None:
    inside = slm(team, "url", "chat").out.strip()
    assert inside == team.model("chat")["status"]["url"]
    with subprocess.Popen(
        [PROGRAM, "url", "--forward", "-n", team.namespace],
        env=environment(team), stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        with OpenAI(base_url=process.stdout.readline().strip(), api_key="unused") as client:
            answer = client.chat.completions.create(
                model="chat", messages=[{"role": "user", "content": "Hello!"}], max_tokens=4
            )
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
    assert answer.usage is not None


def test_doctor_finds_a_cluster_that_is_fit(team: Team) -> None:
    outcome = slm(team, "doctor")
    levels = {line.split()[0] for line in outcome.out.splitlines()[1:]}
    assert outcome.code == 0, outcome.out
    # A small node may be full with one model.
    assert levels <= {"ok", "warn"}, outcome.out
    lines = {line.split()[1]: line for line in outcome.out.splitlines()[1:]}
    for check in ("CRDs", "KubeRay", "operator", "gateway", "catalogue", "weights"):
        assert lines[check].startswith("ok"), lines[check]


def test_logs_are_those_of_the_pools_pods(team: Team) -> None:
    outcome = slm(team, "logs", "chat", "--lines", "5")
    assert outcome.code == 0, outcome.err
    assert "ray-head <==" in outcome.err
    assert slm(team, "logs", "--operator").code == 0


def test_what_is_decided_already_changes_nothing(team: Team, tmp_path: Path) -> None:
    before = team.model("chat")["metadata"]["resourceVersion"]
    outcome = slm(team, "plan", Path("examples/chat.yaml").resolve())
    assert outcome.code == 0, outcome.err
    assert "None: this is decided already" in outcome.out
    assert team.model("chat")["metadata"]["resourceVersion"] == before


def test_the_api_servers_own_words_on_a_bad_manifest(team: Team, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "apiVersion: smallmodel.dev/v1alpha1\nkind: SmallModel\nmetadata: {name: bad}\n"
        "spec: {model: smollm2-135m-instruct, scaling: {minReplicas: 5, maxReplicas: 2}}\n"
    )
    outcome = slm(team, "validate", "--server", path)
    assert outcome.code == 3
    assert "minReplicas is more than maxReplicas" in outcome.out
    assert "bad" not in team.names("sm")


def test_a_missing_model_is_told_with_the_nearest_name(team: Team) -> None:
    assert slm(team, "describe", "chats").code == 4
    assert "did you mean chat?" in slm(team, "describe", "chats").err
