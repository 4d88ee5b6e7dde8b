"""What the loops need to know of pods."""

from dataclasses import dataclass
from typing import Any, Final

from smallmodel_operator.api.names import LABEL_JOB, LABEL_POOL
from smallmodel_operator.plan.pools.values import Manifest
from smallmodel_operator.reconcile.sight import UnpulledImage

_ENDED: Final = frozenset({"Succeeded", "Failed"})
_UNPULLED: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
"""https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/images/types.go, and the last
two of https://github.com/kubernetes/cri-api/blob/v0.36.3/pkg/errors/errors.go"""
_CAUSE: Final = "ErrImagePull: "
"""Between two tries the kubelet says that it waits, and after this what it waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSight:
    """What the loops need of a pod."""

    namespace: str
    name: str
    address: str | None
    """While it runs."""
    job: str | None
    last_words: str | None
    """The termination message of its first container that ended."""
    running: bool
    pool: str | None = None
    unpulled: UnpulledImage | None = None
    unscheduled: str | None = None
    """The scheduler's words, while it finds no node for the pod."""

    @property
    def held_up(self) -> tuple[UnpulledImage | None, str | None]:
        """What keeps the pod from starting."""
        return self.unpulled, self.unscheduled


def read_pod(manifest: Manifest) -> PodSight:
    """Return what the loops need of a pod."""
    metadata = manifest["metadata"]
    status = manifest.get("status") or {}
    ended = status.get("phase") in _ENDED
    labels = metadata.get("labels") or {}
    return PodSight(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        address=None if ended else status.get("podIP"),
        job=labels.get(LABEL_JOB),
        last_words=_last_words(status),
        running=status.get("phase") == "Running",
        pool=labels.get(LABEL_POOL),
        unpulled=_unpulled_image(status),
        unscheduled=_unscheduled(status),
    )


def _unpulled_image(status: dict[str, Any]) -> UnpulledImage | None:
    for container in (
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _UNPULLED:
            message: str = waiting.get("message") or waiting["reason"]
            return UnpulledImage(image=container["image"], message=message.split(_CAUSE, 1)[-1])
    return None


def _unscheduled(status: dict[str, Any]) -> str | None:
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            message: str = condition.get("message") or condition["reason"]
            return message
    return None


def _last_words(status: dict[str, Any]) -> str | None:
    for container in status.get("containerStatuses") or ():
        ended = (container.get("state") or {}).get("terminated")
        if ended and ended.get("message"):
            message: str = ended["message"]
            return message
    return None
