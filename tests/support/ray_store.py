"""The operator installed with a store for the state of Ray's heads."""

import contextlib
from collections.abc import Iterator
from typing import Final

from cluster.addons import make_volume
from support.installation import RELEASE, SYSTEM, Installed

_VOLUME: Final = "ray-store"


@contextlib.contextmanager
def with_store(operator: Installed, image: str) -> Iterator[None]:
    """Have pools keep their state in the chart's store, and take both away again.

    Args:
        operator: Its chart is upgraded.
        image: Of a Redis, which the cluster has.
    """
    cluster, claim = operator.cluster, f"data-{RELEASE}-redis-0"
    make_volume(cluster, _VOLUME, operator.volumes / _VOLUME, "5Gi", claim=(SYSTEM, claim))
    operator.install(
        faultTolerance={"mode": "Redis", "redis": {"install": True, "image": image, "size": "1Gi"}}
    )
    try:
        yield
    finally:
        operator.install()
        # The chart keeps them, since models may still use them.
        for kind in ("statefulset", "service", "networkpolicy"):
            cluster.kubectl("-n", SYSTEM, "delete", kind, f"{RELEASE}-redis", "--ignore-not-found")
        cluster.kubectl("-n", SYSTEM, "delete", "pvc", claim, "--ignore-not-found")
        cluster.kubectl("delete", "pv", _VOLUME, "--ignore-not-found")
