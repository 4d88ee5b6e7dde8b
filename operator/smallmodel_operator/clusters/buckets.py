"""In which region a bucket is, as S3 tells everybody who asks."""

from typing import Final

import aiohttp
from yarl import URL

from smallmodel_operator.api.datasource import bucket_name
from smallmodel_operator.api.where import PLACE
from smallmodel_operator.clusters.wire import proxy_to

TOTAL_SECONDS: Final = 10.0
REGION_HEADER: Final = "x-amz-bucket-region"
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html
_TELLS: Final = frozenset({200, 301, 307, 400, 403})
"""What S3 answers of a bucket that is there, to somebody who may read it and to others."""
_NOT_FOUND: Final = 404


class BucketError(Exception):
    """The base: S3 did not say where a bucket is."""


class NoSuchBucket(BucketError):
    """There is no bucket of that name."""


class S3Unreachable(BucketError):
    """There was no answer in time, or it does not say it."""


class S3:
    """A store that is asked without credentials, and never for what is in a bucket."""

    def __init__(self, endpoint: str, total: float = TOTAL_SECONDS) -> None:
        """Make it; nothing is sent yet.

        Args:
            endpoint: Its address, from an administrator alone.
            total: Seconds that a question may take.
        """
        self._endpoint = endpoint.rstrip("/")
        self._proxy = proxy_to(endpoint)
        self._timeout = aiohttp.ClientTimeout(total=total)

    async def region_of(self, url: str) -> str:
        """Return the region of a bucket.

        Args:
            url: Such as s3://records.

        Raises:
            NoSuchBucket: There is none.
            S3Unreachable: It was not told.
            ValueError: That is no URL of a bucket; nothing was sent.
        """
        name = bucket_name(url)
        try:
            status, region = await self._ask(name)
        except TimeoutError as error:
            raise S3Unreachable(
                f"{self._endpoint} did not answer within {self._timeout.total:g} s when it was "
                f"asked for {url}; check that the operator's pod can reach it"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise S3Unreachable(
                f"{self._endpoint} cannot be reached ({error}), so it was not asked for {url}; "
                "check the chart's dataSources.s3Endpoint, and that the operator's pod can reach it"
            ) from error
        if status == _NOT_FOUND:
            raise NoSuchBucket(
                f"{self._endpoint} has no bucket {name}. Correct spec.bucket, make the bucket, or "
                "write in spec.locations where the data is"
            )
        if status not in _TELLS or region is None or not PLACE.fullmatch(region):
            raise S3Unreachable(
                f"{self._endpoint} answered {status} without a region in {REGION_HEADER} when it "
                f"was asked for {url}; where it is no store of AWS, write in spec.locations where "
                "the data is"
            )
        return region

    async def _ask(self, name: str) -> tuple[int, str | None]:
        async with (
            aiohttp.ClientSession(
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "smallmodel-operator"},
            ) as session,
            session.head(
                URL(f"{self._endpoint}/{name}", encoded=True),
                allow_redirects=False,
                proxy=self._proxy,
            ) as answer,
        ):
            return answer.status, answer.headers.get(REGION_HEADER)
