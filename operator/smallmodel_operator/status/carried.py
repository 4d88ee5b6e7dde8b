"""How the hub and a cluster get on between which nothing but files goes."""

from datetime import datetime
from typing import Final

from smallmodel_operator.api.base import seconds
from smallmodel_operator.api.modelcluster import ClusterLink, LinkState, ModelCluster
from smallmodel_operator.api.reasons import Reason

MAX_AGE: Final = "168h"
"""How old a cluster's last file may be, where its ModelCluster does not say."""


def carried_link(cluster: ModelCluster, now: str) -> ClusterLink | None:
    """Return how the hub and a cluster of mode Bundle get on; None: no file ever came.

    It is never Connected: a file proves that something was so when it was written.

    Args:
        cluster: The ModelCluster.
        now: RFC 3339 time.
    """
    file, before = cluster.status.bundle, cluster.status.link
    if file is None:
        return None
    name, limit = cluster.metadata.name, cluster.spec.connection.bundle_max_age or MAX_AGE
    # A clock that is ahead over there makes no file any newer.
    seen = min(file.exported_at, file.imported_at, key=datetime.fromisoformat)
    age = datetime.fromisoformat(now) - datetime.fromisoformat(seen)
    carry = (
        f"`slm bundle export --status` there, `slm bundle import` here, then `slm bundle export "
        f"{name}` here"
    )
    if age.total_seconds() > seconds(limit):
        state, reason = LinkState.UNREACHABLE, Reason.BUNDLE_STALE
        message = (
            f"The cluster's last file was written at {seen}, and one may be {limit} old "
            f"(spec.connection.bundleMaxAge). Carry newer ones: {carry}"
        )
    else:
        state, reason = LinkState.BUNDLED, Reason.BUNDLED
        message = (
            f"Nobody calls it: what is known of it came in a file of {seen}. What is decided for "
            f"it waits to be carried: {carry}"
        )
    return ClusterLink(
        state=state,
        since=before.since if before is not None and before.state is state else now,
        last_contact=seen,
        reason=reason,
        message=message,
        cluster_uid=before.cluster_uid if before is not None else None,
    )
