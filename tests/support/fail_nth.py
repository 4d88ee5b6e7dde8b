"""A fault in exactly one of the operator's calls: the n-th, before it is sent or after."""

import contextlib
from dataclasses import dataclass, field

from smallmodel_operator.clusters.errors import ApiError, Unreachable
from smallmodel_operator.clusters.refusals import Answer
from smallmodel_operator.clusters.requests import Request
from smallmodel_operator.clusters.wire import Send


@dataclass
class FailNth:
    """Passed to `Api.connect` as `around`.

    Attributes:
        nth: Which call fails, counted from 1.
        delivered: True: the API server does what is asked, and the answer is lost. False: it
            never hears of it.
        only_writes: Reads are not counted.
        seen: All calls that were made, in order.
        failed: The one that failed, once it did.
    """

    nth: int
    delivered: bool = False
    only_writes: bool = False
    seen: list[Request] = field(default_factory=list)
    failed: Request | None = None

    async def __call__(self, request: Request, send: Send) -> Answer:
        """See one call."""
        if not (self.only_writes and request.repeatable):
            self.seen.append(request)
        if self.failed is not None or len(self.seen) != self.nth:
            return await send(request)
        self.failed = request
        if self.delivered:
            # Whatever came of it, nobody hears of it.
            with contextlib.suppress(ApiError):
                await send(request)
        raise Unreachable(f"{request.what}: failed by order, the {self.nth}. call")
