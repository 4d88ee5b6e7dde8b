"""Where the buckets are that DataSources name: asked rarely, and remembered meanwhile."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.clusters.buckets import S3, NoSuchBucket, S3Unreachable
from smallmodel_operator.status.buckets import BucketLook

FOUND_SECONDS: Final = 3600.0
"""Buckets do not move: another of the same name may be made elsewhere."""
OTHERWISE_SECONDS: Final = 60.0

_NOT_ASKED: Final = BucketLook(
    reason=Reason.BUCKET_NOT_ASKED,
    why="This installation asks no S3 where buckets are, as the chart's dataSources.s3Endpoint is "
    "empty. Write in spec.locations where the data is, or have an administrator set it",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remembered:
    look: BucketLook
    until: float


class Buckets:
    """Asks S3 for each bucket, not more often than anything can change."""

    def __init__(
        self, endpoint: str | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Make it.

        Args:
            endpoint: The address of S3; None: nobody is asked.
            clock: Tells seconds.
        """
        self._s3 = S3(endpoint) if endpoint is not None else None
        self._clock = clock
        self._remembered: dict[str, _Remembered] = {}

    async def look(self, url: str) -> tuple[BucketLook, float]:
        """Return what S3 says of a bucket, and after how many seconds to look again."""
        self._forget()
        known = self._remembered.get(url)
        if known is None:
            look = await self._asked(url)
            rest = FOUND_SECONDS if look.region is not None else OTHERWISE_SECONDS
            known = _Remembered(look=look, until=self._clock() + rest)
            self._remembered[url] = known
        return known.look, known.until - self._clock()

    async def _asked(self, url: str) -> BucketLook:
        if self._s3 is None:
            return _NOT_ASKED
        try:
            return BucketLook(region=await self._s3.region_of(url))
        except NoSuchBucket as error:
            return BucketLook(reason=Reason.BUCKET_NOT_FOUND, why=str(error))
        except S3Unreachable as error:
            return BucketLook(reason=Reason.BUCKET_UNREACHABLE, why=str(error))

    def _forget(self) -> None:
        now = self._clock()
        self._remembered = {
            url: known for url, known in self._remembered.items() if known.until > now
        }
