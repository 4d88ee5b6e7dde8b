"""The serving cluster's own check of where data may be read.

The planner and the API server of the hub check the same. This one believes neither: it compares
with what the cluster's own administrator set, so a hub that is wrong about the cluster, or that
somebody else has taken over, has no copy started there.
"""

from smallmodel_operator.api.modelplacement import ModelPlacement, ModelPlacementStatus, Problem
from smallmodel_operator.api.reasons import Reason


def residency_problem(placement: ModelPlacement, jurisdiction: str | None) -> Problem | None:
    """Return why a placement is not served in the cluster; None where it may be.

    Args:
        placement: One that stays.
        jurisdiction: The cluster's, by its own settings. None: they do not say, and the cluster
            leaves the check to the others.
    """
    residency = placement.spec.residency
    if residency is None or jurisdiction is None or jurisdiction in residency.jurisdictions:
        return None
    allowed = ", ".join(residency.jurisdictions)
    return Problem(
        reason=Reason.RESIDENCY_REFUSED,
        message=f"The law of the model's data allows {allowed[:512]}, and this cluster's own "
        f"settings say that it is in {jurisdiction}, so it is not served here. Correct the "
        f"jurisdiction of ModelCluster {placement.spec.cluster} on the hub, or that of the "
        "cluster's own settings, whichever is wrong",
    )


def refused_status(placement: ModelPlacement, problem: Problem) -> ModelPlacementStatus:
    """Return what is known of a placement that is not served, its conditions aside."""
    return ModelPlacementStatus(observed_generation=placement.metadata.generation, problem=problem)
