"""What S3 says of the bucket that a DataSource names becomes the DataSource's status."""

from dataclasses import dataclass
from typing import Final

from smallmodel_operator.api.conditions import DataConditionType
from smallmodel_operator.api.datasource import DataSource, DataSourceStatus, FoundBucket
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.status.summarise import conditions
from smallmodel_operator.status.verdicts import Verdict

PROVIDER: Final = "aws"
"""As the tables of egress name whose regions S3 tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketLook:
    """What came of asking S3 for a bucket."""

    region: str | None = None
    """Where it is; None: there is no such bucket, or S3 did not say."""
    reason: Reason = Reason.LOCATED
    """Why there is no region."""
    why: str = ""
    """The same in words, and what to do."""


def summarise_bucket(
    source: DataSource, url: str, look: BucketLook | None, now: str
) -> DataSourceStatus:
    """Return the whole status of a DataSource that names a bucket.

    Args:
        source: With the status before: what was found lives on where S3 does not say.
        url: The bucket.
        look: What came of asking; None: `spec.locations` says where it is, so S3 was not asked.
        now: RFC 3339 time.

    Returns:
        The new status; equal to the one before where no fact changed.
    """
    generation = source.metadata.generation
    found = _found(source, url, look) if look is not None else None
    verdicts = {DataConditionType.LOCATED: _located(url, found, look)}
    return DataSourceStatus(
        observed_generation=generation,
        conditions=conditions(verdicts, source.status.conditions, generation, now),
        bucket=found,
    )


def _found(source: DataSource, url: str, look: BucketLook) -> FoundBucket | None:
    if look.region is not None:
        return FoundBucket(url=url, provider=PROVIDER, region=look.region)
    before = source.status.bucket
    lives_on = look.reason is not Reason.BUCKET_NOT_FOUND
    return before if lives_on and before is not None and before.url == url else None


def _located(url: str, found: FoundBucket | None, look: BucketLook | None) -> Verdict:
    if look is None:
        said = f"spec.locations says where {url} is, so S3 is not asked"
        return Verdict("True", Reason.LOCATED, said)
    if found is None:
        missing = look.reason is Reason.BUCKET_NOT_FOUND
        return Verdict("False" if missing else "Unknown", look.reason, look.why)
    where = f"{url} is in {found.region} of {found.provider}"
    told = "as S3 says" if look.region is not None else f"as S3 said before. {look.why}"
    return Verdict("True", Reason.LOCATED, f"{where}, {told}")
