"""A SmallModel in every state that it can be in, as an API server has it."""

from dataclasses import dataclass
from typing import Any, Final

from builders.placements import (
    HASH,
    LATER_POOL,
    OLD_HASH,
    answer,
    deployment,
    no_answer,
    placed_status,
    quarantine,
)
from builders.statuses import model, status_of
from smallmodel_operator.api import crd
from smallmodel_operator.api.fetch import FetchFailed, FetchProgress
from smallmodel_operator.api.modelplacement import ModelPlacementStatus, Problem
from smallmodel_operator.api.names import FINALIZER
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import SmallModel, SmallModelStatus
from smallmodel_operator.catalog.options import ResolveError
from smallmodel_operator.placement.placement import Unplaced

DELETED_AT: Final = "2026-11-24T12:01:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One object."""

    status: SmallModelStatus | None
    """None: the operator has not seen it."""
    generation: int = 3
    """Of the spec; statuses speak of generation 3."""
    deleted: bool = False

    @property
    def manifest(self) -> dict[str, Any]:
        """The object as `kubectl get -o yaml` prints it."""
        small_model = model(self.generation)
        metadata: dict[str, Any] = {
            "name": small_model.metadata.name,
            "namespace": small_model.metadata.namespace,
            "generation": self.generation,
            "finalizers": [FINALIZER],
        }
        if self.deleted:
            metadata["deletionTimestamp"] = DELETED_AT
        return {
            "apiVersion": small_model.api_version,
            "kind": small_model.kind,
            "metadata": metadata,
            "spec": small_model.spec.model_dump(mode="json", exclude_defaults=True),
            "status": self._status(),
        }

    def _status(self) -> dict[str, Any]:
        if self.status is not None:
            return self.status.model_dump(mode="json", exclude_none=True)
        schema = crd.structural_schema(SmallModel)
        default: dict[str, Any] = schema["properties"]["status"]["default"]
        return default


def _problem(reason: Reason, message: str) -> Problem:
    return Problem(reason=reason, message=message)


def _without_application(**changes: Any) -> ModelPlacementStatus:
    return placed_status(**{"deployment": None, "serving_hash": None} | changes)


_READY: Final = status_of(placed_status(probe=answer()))
_UNKNOWN: Final = ResolveError(
    reason=Reason.UNKNOWN_MODEL,
    message="spec.model is 'little-1b', and no ModelCard has that name.",
)
_BEFORE_A_MOVE: Final = status_of(
    placed_status(
        serving_hash=OLD_HASH,
        deployment=deployment(serving_hash=OLD_HASH),
        probe=answer(serving_hash=OLD_HASH),
    )
)

STATES: Final[dict[str, Recorded]] = {
    "new": Recorded(status=None, generation=1),
    "resolving": Recorded(
        status=status_of(None, fetch=FetchProgress(done_bytes=43, total_bytes=100))
    ),
    "unknown-model": Recorded(status=status_of(None, _UNKNOWN)),
    "unplaced-for-ever": Recorded(
        status=status_of(
            None, Unplaced(reason=Reason.MEMORY_FIT, message="needs 40 GiB; a node has 16 GiB")
        )
    ),
    "unplaced-now": Recorded(
        status=status_of(
            None,
            Unplaced(reason=Reason.MEMORY_FIT, message="needs 4 GiB; 1 GiB is free", waits=True),
        )
    ),
    "accelerators-taken": Recorded(
        status=status_of(
            None,
            Unplaced(reason=Reason.ACCELERATOR_CAPACITY, message="0 of 4 are free", waits=True),
        )
    ),
    "fetching": Recorded(
        status=status_of(_without_application(fetch=FetchProgress(done_bytes=43, total_bytes=100)))
    ),
    "fetch-refused": Recorded(
        status=status_of(
            _without_application(
                fetch=FetchFailed(reason=Reason.DIGEST_MISMATCH, message="another sha256")
            )
        )
    ),
    "source-away": Recorded(
        status=status_of(
            _without_application(
                fetch=FetchFailed(reason=Reason.SOURCE_UNREACHABLE, message="no route to host")
            )
        )
    ),
    "pool-starting": Recorded(
        status=status_of(
            _without_application(problem=_problem(Reason.POOL_STARTING, "the head starts"))
        )
    ),
    "api-missing": Recorded(
        status=status_of(
            ModelPlacementStatus(problem=_problem(Reason.API_MISSING, "KubeRay is not installed"))
        )
    ),
    "name-conflict": Recorded(
        status=status_of(
            ModelPlacementStatus(problem=_problem(Reason.NAME_CONFLICT, "a RayService not ours"))
        )
    ),
    "deploying": Recorded(status=status_of(placed_status(deployment=None))),
    "verifying": Recorded(status=status_of(placed_status())),
    "worker-starting": Recorded(
        status=status_of(placed_status(probe=no_answer(Reason.START_TIMEOUT, "none in 60 s")))
    ),
    "ready": Recorded(status=_READY),
    "parked": Recorded(
        status=status_of(placed_status(deployment=deployment(replicas=0), probe=answer()))
    ),
    "upgrade-waiting": Recorded(
        status=status_of(
            placed_status(
                probe=answer(), problem=_problem(Reason.UPGRADE_WAITING, "no room for a pool")
            )
        )
    ),
    "moving": Recorded(
        status=status_of(
            placed_status(
                moving_to=LATER_POOL,
                deployment=deployment(serving_hash=OLD_HASH),
                probe=answer(serving_hash=OLD_HASH),
            ),
            previous=_BEFORE_A_MOVE,
        )
    ),
    "changed": Recorded(status=_READY, generation=4),
    "refused-while-serving": Recorded(
        status=status_of(placed_status(probe=answer()), _UNKNOWN, previous=_READY)
    ),
    "degraded": Recorded(
        status=status_of(
            placed_status(deployment=deployment(failed=True, message="died"), probe=answer()),
            previous=_READY,
        )
    ),
    "load-failed": Recorded(
        status=status_of(placed_status(probe=no_answer(Reason.LOAD_FAILED, "bad magic")))
    ),
    "quarantined": Recorded(
        status=status_of(placed_status(deployment=None, quarantine=quarantine(serving_hash=HASH)))
    ),
    "deleting": Recorded(status=_READY, deleted=True),
}
