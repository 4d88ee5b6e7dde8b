"""What `slm doctor` reads of a cluster once, for all of its checks."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from smallmodel_operator.cli.cluster.installed import OPERATOR_LABELS, Installed, find_installed
from smallmodel_operator.cli.cluster.observed import Observed, observe
from smallmodel_operator.cli.cluster.session import Session
from smallmodel_operator.cli.findings import Finding

if TYPE_CHECKING:
    from smallmodel_operator.clusters.errors import ApiError


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What several checks look at."""

    session: Session
    operators: "tuple[Installed, ...] | ApiError"
    observed: "Observed | ApiError"

    def command(self, kubectl: str) -> str:
        """Return a kubectl command line for this cluster."""
        return f"`kubectl{self.session.access.words()} {kubectl}`"


Check = Callable[[Examined], AsyncIterator[Finding]]


async def examine(session: Session) -> Examined:
    """Read what several checks look at.

    Raises:
        ApiError: The API server does not answer.
    """
    from smallmodel_operator.clusters import errors

    operators: tuple[Installed, ...] | errors.ApiError
    observed: Observed | errors.ApiError
    try:
        operators = await find_installed(session, OPERATOR_LABELS)
    except errors.Forbidden as error:
        operators = error
    try:
        observed = await observe(session)
    except (errors.Forbidden, errors.ApiMissing) as error:
        observed = error
    return Examined(session=session, operators=operators, observed=observed)
