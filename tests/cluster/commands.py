"""Running other programs to their end."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cluster.problems import ClusterProblem

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(
    *command: str | Path,
    stdin: str | None = None,
    environment: dict[str, str] | None = None,
    within: float = 60,
    folder: Path | None = None,
) -> str:
    """Return what a command printed.

    Args:
        command: the program and its arguments.
        stdin: what it reads.
        environment: variables added to this process's own.
        within: seconds that it may take.
        folder: where it runs.

    Raises:
        ClusterProblem: it failed, took too long or is not there.
    """
    done = attempt(*command, stdin=stdin, environment=environment, within=within, folder=folder)
    if done.returncode:
        raise ClusterProblem(
            f"{words(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}".rstrip()
        )
    return done.stdout


def attempt(
    *command: str | Path,
    stdin: str | None = None,
    environment: dict[str, str] | None = None,
    within: float = 60,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command whose failure the caller judges; raises only when it cannot run or end."""
    variables = {**os.environ, **(environment or {})}
    # A user's shell may have no sbin folders, where ip and iptables are.
    variables["PATH"] = f"{variables.get('PATH', '')}:{SYSTEM_PATH}"
    try:
        return subprocess.run(
            [str(word) for word in command],
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            env=variables,
            cwd=folder,
            timeout=within,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as missing:
        raise ClusterProblem(f"{command[0]} is not installed") from missing
    except subprocess.TimeoutExpired as late:
        raise ClusterProblem(f"{words(command)} was not done after {within:g} s") from late


def words(command: Sequence[str | Path]) -> str:
    return " ".join(str(word) for word in command)
