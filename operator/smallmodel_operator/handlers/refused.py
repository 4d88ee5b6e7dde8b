"""What is said against an object becomes the problem of the models that need it."""

import logging
from collections.abc import Awaitable, Mapping
from typing import Final, TypeVar

from smallmodel_operator.api.modelplacement import Problem
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.clusters import errors
from smallmodel_operator.handlers.objects import ObjectKey
from smallmodel_operator.plan.pools.values import PoolError

_LOG: Final = logging.getLogger(__name__)
_Written = TypeVar("_Written")

_PASSES_BY_ITSELF: Final = (
    errors.Unreachable,
    errors.Busy,
    errors.ServerFailed,
    errors.Conflict,
    errors.NamespaceMissing,
)


class Refused:
    """What was said at the last try, until the object is taken."""

    def __init__(self, *, of_mirrors: bool = False) -> None:
        """Make it.

        Args:
            of_mirrors: The objects are mirrors, which a hub of the same version takes.
        """
        self._of_mirrors = of_mirrors
        self._problems: dict[ObjectKey, Problem] = {}

    def __contains__(self, key: ObjectKey) -> bool:
        return key in self._problems

    def get(self, key: ObjectKey) -> Problem | None:
        """Return what was said against an object."""
        return self._problems.get(key)

    def within(self, namespace: str) -> Mapping[str, Problem]:
        """Return what was said against a namespace's objects, by their names."""
        return {name: said for (space, name), said in self._problems.items() if space == namespace}

    def forget(self, key: ObjectKey) -> None:
        """Drop what is kept of an object that is not wanted any more."""
        self._problems.pop(key, None)

    async def noted(self, key: ObjectKey, work: Awaitable[_Written]) -> _Written:
        """Do a write, and keep what is said against it, unless that passes by itself.

        Raises:
            ApiError: It was not done.
            PoolError: It cannot be done.
        """
        before = self._problems.pop(key, None)
        try:
            written = await work
        except _PASSES_BY_ITSELF:
            raise
        except (errors.ApiError, PoolError) as error:
            self._problems[key] = problem_of(error, of_mirrors=self._of_mirrors)
            raise
        if before is not None:
            _LOG.info("%s/%s is accepted now", *key)
        return written


def problem_of(error: errors.ApiError | PoolError, *, of_mirrors: bool = False) -> Problem:
    """Map what is said against an object to a reason: the one place where this is done."""
    if of_mirrors and isinstance(error, errors.Invalid):
        # The hub's API server took the same spec, so the other one has other definitions.
        message = (
            "The cluster's definitions do not know all of the placement, so what runs there goes "
            f"on as it is; apply those of this version there (its folder crds/). It said: {error}"
        )
        return Problem(reason=Reason.AGENT_TOO_OLD, message=message[:1024])
    reasons: tuple[tuple[type[errors.ApiError], Reason], ...] = (
        (errors.NameConflict, Reason.NAME_CONFLICT),
        (errors.ApiMissing, Reason.API_MISSING),
        (errors.NamespaceEnding, Reason.NAMESPACE_ENDING),
    )
    reason = next((reason for kind, reason in reasons if isinstance(error, kind)), Reason.REFUSED)
    return Problem(reason=reason, message=str(error)[:1024])
