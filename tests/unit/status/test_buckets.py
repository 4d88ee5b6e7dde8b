"""What S3 says of the bucket that a DataSource names becomes its status."""

from typing import Any

import pytest

from smallmodel_operator.api.conditions import DataConditionType
from smallmodel_operator.api.datasource import DataSource, DataSourceStatus, FoundBucket
from smallmodel_operator.api.meta import Condition
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.status.buckets import BucketLook, summarise_bucket

BEFORE, NOW = "2026-11-24T12:00:00Z", "2026-11-24T12:07:00Z"
URL = "s3://records"
HERE = BucketLook(region="eu-central-1")
GONE = BucketLook(reason=Reason.BUCKET_NOT_FOUND, why="there is none")
LOST = BucketLook(reason=Reason.BUCKET_UNREACHABLE, why="it did not answer within 10 s")
UNASKED = BucketLook(reason=Reason.BUCKET_NOT_ASKED, why="this installation asks no S3")


def source(status: DataSourceStatus | None = None, **spec: Any) -> DataSource:
    return DataSource.model_validate(
        {
            "metadata": {"name": "records", "namespace": "team", "generation": 3},
            "spec": {"bucket": URL} | spec,
            "status": status or {},
        }
    )


def summarised(look: BucketLook | None, before: DataSourceStatus | None = None) -> DataSourceStatus:
    return summarise_bucket(source(before), URL, look, NOW)


def located(status: DataSourceStatus) -> Condition:
    (condition,) = status.conditions
    assert condition.type == DataConditionType.LOCATED
    return condition


FOUND = summarise_bucket(source(), URL, HERE, BEFORE)


@pytest.mark.parametrize(
    ("look", "before", "said", "words"),
    [
        (HERE, None, ("True", "Located"), f"{URL} is in eu-central-1 of aws, as S3 says"),
        (GONE, None, ("False", "BucketNotFound"), "there is none"),
        (GONE, FOUND, ("False", "BucketNotFound"), "there is none"),
        (LOST, None, ("Unknown", "BucketUnreachable"), "it did not answer within 10 s"),
        (UNASKED, None, ("Unknown", "BucketNotAsked"), "this installation asks no S3"),
        (
            LOST,
            FOUND,
            ("True", "Located"),
            f"{URL} is in eu-central-1 of aws, as S3 said before. it did not answer within 10 s",
        ),
        (
            UNASKED,
            FOUND,
            ("True", "Located"),
            f"{URL} is in eu-central-1 of aws, as S3 said before. this installation asks no S3",
        ),
        (
            None,
            FOUND,
            ("True", "Located"),
            f"spec.locations says where {URL} is, so S3 is not asked",
        ),
    ],
    ids=[
        "S3 says where it is",
        "there is none",
        "there is none any more",
        "S3 does not answer",
        "nobody is asked",
        "S3 does not answer any more",
        "nobody is asked any more",
        "its owner says where it is",
    ],
)
def test_what_is_said_of_a_bucket(
    look: BucketLook | None, before: DataSourceStatus | None, said: tuple[str, str], words: str
) -> None:
    condition = located(summarised(look, before))

    assert (condition.status, condition.reason) == said
    assert condition.message == words


def test_where_it_was_found_is_told() -> None:
    status = summarised(HERE)

    assert status.bucket == FoundBucket(url=URL, provider="aws", region="eu-central-1")
    assert (status.claim, status.found, status.observed_generation) == (None, (), 3)


def test_a_store_that_does_not_answer_keeps_what_was_found() -> None:
    assert summarised(LOST, FOUND).bucket == FOUND.bucket
    assert located(summarised(LOST, FOUND)).last_transition_time == BEFORE
    assert summarised(GONE, FOUND).bucket is None


def test_a_store_that_does_not_answer_keeps_nothing_of_another_bucket() -> None:
    after = summarise_bucket(source(FOUND), "s3://video", LOST, NOW)

    assert after.bucket is None
    assert located(after).status == "Unknown"


def test_a_bucket_that_was_made_again_elsewhere_is_there() -> None:
    after = summarised(BucketLook(region="us-east-1"), FOUND)

    assert after.bucket is not None
    assert after.bucket.region == "us-east-1"


def test_what_the_owner_says_leaves_nothing_of_what_was_found() -> None:
    assert summarised(None, FOUND).bucket is None


def test_nothing_new_changes_nothing() -> None:
    assert summarised(HERE, FOUND) == FOUND
