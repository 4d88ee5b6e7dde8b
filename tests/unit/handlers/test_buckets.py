"""How often S3 is asked for a bucket, and what is said of its answers."""

from collections.abc import AsyncIterator

import pytest

from builders.fake_kube_api import hang_up
from builders.fake_s3 import FakeS3, fake_s3
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.handlers.buckets import FOUND_SECONDS, OTHERWISE_SECONDS, Buckets
from smallmodel_operator.status.buckets import BucketLook

RECORDS = "s3://records"


class Clock:
    """Tells the seconds that a test says."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def store() -> AsyncIterator[FakeS3]:
    async with fake_s3() as fake:
        yield fake


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def buckets(store: FakeS3, clock: Clock) -> Buckets:
    return Buckets(store.url, clock=clock)


async def test_what_is_found_is_asked_for_again_after_an_hour(
    store: FakeS3, clock: Clock, buckets: Buckets
) -> None:
    store.regions["records"] = "eu-central-1"
    found = BucketLook(region="eu-central-1")

    assert await buckets.look(RECORDS) == (found, FOUND_SECONDS)
    clock.now += 3599.0
    store.regions["records"] = "eu-west-1"
    assert await buckets.look(RECORDS) == (found, 1.0)
    assert len(store.asked) == 1

    clock.now += 1.0
    assert await buckets.look(RECORDS) == (BucketLook(region="eu-west-1"), FOUND_SECONDS)


async def test_a_bucket_that_is_not_there_is_asked_for_again_after_a_minute(
    store: FakeS3, clock: Clock, buckets: Buckets
) -> None:
    look, again = await buckets.look(RECORDS)
    assert (look.region, look.reason, again) == (None, Reason.BUCKET_NOT_FOUND, OTHERWISE_SECONDS)
    assert f"{store.url} has no bucket records" in look.why

    store.regions["records"] = "eu-central-1"
    assert (await buckets.look(RECORDS))[0].region is None
    clock.now += 60.0
    assert (await buckets.look(RECORDS))[0].region == "eu-central-1"


async def test_a_store_that_does_not_answer_is_asked_again_after_a_minute(
    store: FakeS3, buckets: Buckets
) -> None:
    store.replies = [hang_up] * 2

    look, again = await buckets.look(RECORDS)

    assert (look.region, look.reason, again) == (None, Reason.BUCKET_UNREACHABLE, OTHERWISE_SECONDS)
    assert f"{store.url} cannot be reached" in look.why


async def test_each_bucket_is_asked_for_by_itself(store: FakeS3, buckets: Buckets) -> None:
    store.regions = {"records": "eu-central-1", "video": "us-east-1"}

    assert (await buckets.look(RECORDS))[0].region == "eu-central-1"
    assert (await buckets.look("s3://video"))[0].region == "us-east-1"


async def test_what_is_out_of_date_is_not_kept(
    store: FakeS3, clock: Clock, buckets: Buckets
) -> None:
    for name in ("a-bucket", "b-bucket"):
        await buckets.look(f"s3://{name}")
    clock.now += 60.0

    await buckets.look(RECORDS)

    assert set(buckets._remembered) == {RECORDS}


async def test_without_a_store_nobody_is_asked(clock: Clock) -> None:
    look, again = await Buckets(None, clock=clock).look(RECORDS)

    assert (look.region, look.reason, again) == (None, Reason.BUCKET_NOT_ASKED, OTHERWISE_SECONDS)
    assert "the chart's dataSources.s3Endpoint is empty" in look.why
    assert "Write in spec.locations where the data is" in look.why
