"""`kubectl port-forward`, as a person uses it."""

import contextlib
import re
import subprocess
from collections.abc import Iterator

from cluster.access import KubeAccess

_STARTED = re.compile(r"Forwarding from (127\.0\.0\.1:\d+)")


@contextlib.contextmanager
def port_forward(cluster: KubeAccess, namespace: str, target: str, port: int) -> Iterator[str]:
    """Forward a free port of loopback, and yield its address."""
    with cluster.started(
        "-n", namespace, "port-forward", "--address", "127.0.0.1", target, f":{port}"
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = _STARTED.match(line)
        assert match, f"kubectl port-forward said {line!r}"
        try:
            yield match.group(1)
        finally:
            process.terminate()
            process.wait(timeout=10)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=1)
