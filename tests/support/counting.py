"""Runs the counting client in a pod beside the models that it asks, and reads what it counted."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from cluster.waiting import wait_until
from support.counting_client import Asked, Plan
from support.installation import SYSTEM, Installed, Team

_PROGRAM: Final = Path(__file__).with_name("counting_client.py")


@dataclass(slots=True)
class CountingClient:
    """A client that runs."""

    team: Team
    pod: str

    def lines(self) -> list[dict[str, Any]]:
        """Return what it has printed; reading it needs the API server."""
        printed = self.team.kubectl("logs", self.pod).splitlines()
        return [json.loads(line) for line in printed]

    def asked(self, since: float = 0.0) -> list[Asked]:
        """Return the requests that have ended, those begun earlier than `since` left out."""
        found = [Asked(**line) for line in self.lines() if "model" in line]
        return [one for one in found if one.start >= since]

    def wait_for_answers(self, count: int = 1, within: float = 60) -> None:
        """Wait until so many more requests have been answered in full."""
        began = time.time()
        wait_until(
            lambda: len(answered(self.asked(began))) >= count,
            f"{count} requests of {self.pod} are answered",
            within=within,
            explain=lambda: report(self.asked()),
        )

    def wait_since(self, moment: float, seconds: float) -> None:
        """Wait until it has asked for so long since a moment, and was answered at the end."""
        wait_until(
            lambda: any(one.start >= moment + seconds for one in answered(self.asked(moment))),
            f"{self.pod} has asked for {seconds:.0f} s",
            within=seconds + 60,
            explain=lambda: report(self.asked()),
        )

    def stop(self, within: float = 120) -> list[Asked]:
        """Let it end what is under way, and return all requests."""
        # Not by deletion, which takes the log away. It may have ended by itself.
        end = "import os, signal; os.kill(1, signal.SIGTERM)"
        self.team.cluster.try_kubectl(
            "-n", self.team.namespace, "exec", self.pod, "--", "python", "-c", end
        )
        return self.wait(within)

    def wait(self, within: float = 120) -> list[Asked]:
        """Return all requests, once it has ended."""
        wait_until(
            lambda: self._phase() in {"Succeeded", "Failed"}, f"{self.pod} has ended", within=within
        )
        lines = self.lines()
        assert lines, f"{self.pod} printed nothing"
        assert lines[-1] == {"ended": True}, f"{self.pod} did not end by itself: {lines[-1]}"
        return self.asked()

    def _phase(self) -> str:
        found: str = self.team.cluster.get("-n", self.team.namespace, "pod", self.pod)["status"][
            "phase"
        ]
        return found


@contextlib.contextmanager
def counting(
    operator: Installed, team: Team, models: Sequence[str], **plan: Any
) -> Iterator[CountingClient]:
    """Start a client, yield it once it is admitted, and take its pod away.

    Args:
        operator: Where the gateway is.
        team: Whose models are asked.
        models: Asked in turn.
        plan: Other fields of `Plan`.
    """
    url = f"http://smallmodel-gateway.{SYSTEM}.svc/{team.namespace}/v1"
    client = CountingClient(team, f"client-{uuid4().hex[:8]}")
    made = replace(Plan(url=url, models=list(models)), **plan)
    team.apply(_pod(team.namespace, client.pod, operator.values["images"]["servingCpu"], made))
    try:
        wait_until(
            lambda: client._phase() != "Pending" and len(client.lines()) > 0,
            f"{client.pod} is admitted",
            within=made.admission + 30,
        )
        assert client.lines()[0] == {"admitted": True}
        yield client
    finally:
        team.kubectl("delete", "pod", client.pod, "--grace-period=1", "--ignore-not-found")


def answered(asked: Sequence[Asked]) -> list[Asked]:
    """Return those that got a whole answer."""
    return [one for one in asked if one.complete]


def failed(asked: Sequence[Asked]) -> list[Asked]:
    """Return the others."""
    return [one for one in asked if not one.complete]


def report(asked: Sequence[Asked]) -> str:
    """Return in words how many were asked, the longest, and what failed."""
    longest = max((one.seconds for one in asked), default=0.0)
    first = min((one.start for one in asked), default=0.0)
    lines = [f"{len(asked)} asked, {len(failed(asked))} failed, the longest took {longest:.1f} s"]
    lines += [
        f"at {one.start - first:.1f} s for {one.seconds:.1f} s: "
        f"{one.model} {one.status} {one.error}"
        for one in failed(asked)[:20]
    ]
    return "\n".join(lines)


def tell(what: str, asked: Sequence[Asked]) -> None:
    """Print what was counted, which `pytest -rP` shows."""
    sys.stdout.write(f"{what}: {report(asked)}\n")


def _pod(namespace: str, name: str, image: str, plan: Plan) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "client",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python", "-c", _PROGRAM.read_text(), json.dumps(asdict(plan))],
                    "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
