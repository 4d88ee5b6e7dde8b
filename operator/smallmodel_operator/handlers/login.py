"""kopf's login: the same identity as the operator's own client."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import kopf


def login(kubeconfig: Path | None) -> Callable[..., kopf.ConnectionInfo | None]:
    """Return the login handler for a kubeconfig, or for the pod's service account without one."""

    def handler(**arguments: Any) -> kopf.ConnectionInfo | None:
        if kubeconfig is None:
            return kopf.login_with_service_account(**arguments)
        return kopf.login_with_kubeconfig(**arguments)

    return handler
