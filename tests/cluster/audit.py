"""The API server's audit log: every call that the accounts of an installation make."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cluster.folders import ClusterFiles

AUDITED: Final = ("smallmodel-system", "smallmodel-roles")
"""The namespaces whose service accounts are listened to: of the tests that install the chart."""
_MEBIBYTES: Final = 32
"""Of each of the two files; a line has about a kibibyte."""


def audit_policy() -> dict[str, Any]:
    """Return what is written down: of these accounts each call, without bodies, and nothing else.

    A watch is told of when it begins, since it may end hours later; anything else when it ends.
    """
    groups = [f"system:serviceaccounts:{namespace}" for namespace in AUDITED]
    ours = {"level": "Metadata", "userGroups": groups}
    early = ["RequestReceived"]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "rules": [
            {**ours, "verbs": ["watch"], "omitStages": [*early, "ResponseComplete"]},
            {**ours, "omitStages": [*early, "ResponseStarted"]},
            {"level": "None"},
        ],
    }


def write_audit_policy(files: ClusterFiles) -> None:
    """Write it where the API server looks for it."""
    files.audit_policy.write_text(json.dumps(audit_policy(), indent=1))


def audit_flags(files: ClusterFiles) -> list[str]:
    """Return the API server's arguments for it."""
    return [
        f"--audit-policy-file={files.audit_policy}",
        f"--audit-log-path={files.audit_log}",
        f"--audit-log-maxsize={_MEBIBYTES}",
        "--audit-log-maxbackup=1",
    ]


class AuditLog:
    """What was written down since this object was made."""

    def __init__(self, path: Path) -> None:
        """Begin here; the file may not be there yet."""
        self._path = path
        self._from = path.stat().st_size if path.exists() else 0

    def lines(self) -> Iterator[str]:
        """Yield the whole lines.

        Raises:
            ValueError: The file was begun anew meanwhile.
        """
        if not self._path.exists():
            return
        with self._path.open(encoding="utf-8") as file:
            if self._path.stat().st_size < self._from:
                raise ValueError(f"{self._path} was begun anew, and its earlier half is elsewhere")
            file.seek(self._from)
            yield from (line for line in file if line.endswith("\n"))
