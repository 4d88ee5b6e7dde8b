"""What is asked of S3 about a bucket, and what is believed of its answer."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from builders.fake_kube_api import hang_up, serving
from builders.fake_s3 import HEADER, FakeS3, fake_s3
from smallmodel_operator.api.datasource import bucket_name
from smallmodel_operator.clusters.buckets import S3, NoSuchBucket, S3Unreachable

RECORDS = "s3://records"


@pytest.fixture
async def store() -> AsyncIterator[FakeS3]:
    async with fake_s3() as fake:
        fake.regions = {"records": "eu-central-1"}
        yield fake


@pytest.mark.parametrize("status", [200, 301, 307, 400, 403])
async def test_the_region_is_in_the_header_of_an_answer(store: FakeS3, status: int) -> None:
    store.status = status

    assert await S3(store.url).region_of(RECORDS) == "eu-central-1"


async def test_nothing_is_sent_but_the_name_of_the_bucket(store: FakeS3) -> None:
    await S3(f"{store.url}/").region_of(RECORDS)

    assert store.asked == [("HEAD", "/records")]
    (request,) = store.seen
    assert set(request.headers) == {"Host", "User-Agent", "Accept", "Accept-Encoding"}
    assert request.headers["User-Agent"] == "smallmodel-operator"


async def test_an_endpoint_may_have_a_path(store: FakeS3) -> None:
    store.regions["s3/records"] = "eu-west-1"

    assert await S3(f"{store.url}/s3").region_of(RECORDS) == "eu-west-1"


async def test_a_redirect_is_not_followed(store: FakeS3) -> None:
    elsewhere = {"Location": f"{store.url}/secret", HEADER: "eu-west-1"}
    store.replies = [lambda _: web.Response(status=307, headers=elsewhere)]

    assert await S3(store.url).region_of(RECORDS) == "eu-west-1"
    assert len(store.asked) == 1


async def test_no_credentials_are_taken_from_the_environment(
    store: FakeS3, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text("machine 127.0.0.1 login ann password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    await S3(store.url).region_of(RECORDS)

    assert "Authorization" not in store.seen[0].headers


async def test_a_bucket_that_is_nowhere_is_told_with_what_to_do(store: FakeS3) -> None:
    with pytest.raises(NoSuchBucket, match=r"has no bucket video\. Correct spec\.bucket"):
        await S3(store.url).region_of("s3://video")


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (403, {}, "answered 403 without a region"),
        (503, {HEADER: "eu-central-1"}, "answered 503 without a region"),
        (200, {HEADER: ""}, "answered 200 without a region"),
        (200, {HEADER: "eu central"}, "answered 200 without a region"),
        (200, {HEADER: "https://evil.example"}, "answered 200 without a region"),
        (200, {HEADER: "r" * 64}, "answered 200 without a region"),
    ],
    ids=[
        "without the header",
        "of a store that is down",
        "with an empty region",
        "with a region of two words",
        "with a region that is an address",
        "with a region that is too long",
    ],
)
async def test_no_region_is_made_of_an_answer(
    store: FakeS3, status: int, headers: dict[str, str], said: str
) -> None:
    store.replies = [lambda _: web.Response(status=status, headers=headers)]

    with pytest.raises(S3Unreachable, match=f"{store.url} {said}.*write in spec.locations"):
        await S3(store.url).region_of(RECORDS)


async def test_a_store_that_is_silent_is_given_up() -> None:
    done = asyncio.Event()

    async def wait(_: web.Request) -> web.Response:
        await done.wait()
        return web.Response()

    async with serving(wait) as url:
        with pytest.raises(S3Unreachable, match=r"did not answer within 0\.2 s when it was asked"):
            await S3(url, total=0.2).region_of(RECORDS)
        done.set()


async def test_a_store_that_hangs_up_is_told_with_what_to_check(store: FakeS3) -> None:
    store.replies = [hang_up] * 2

    with pytest.raises(S3Unreachable, match=r"cannot be reached .* check the chart's dataSources"):
        await S3(store.url).region_of(RECORDS)


async def test_a_store_is_asked_by_the_proxy_that_the_environment_names(
    store: FakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", store.url)
    store.regions = {"http://s3.example/records": "eu-west-3"}
    store.replies = [
        lambda request: web.Response(status=403, headers={HEADER: store.regions[request.raw_path]})
    ]

    assert await S3("http://s3.example").region_of(RECORDS) == "eu-west-3"


NAMES = st.text(max_size=70) | st.from_regex(r"[a-z0-9./?#@%:\\ \n-]{1,66}", fullmatch=True)


@given(name=NAMES)
def test_nothing_but_the_characters_of_a_name_gets_into_the_address(name: str) -> None:
    try:
        found = bucket_name(f"s3://{name}")
    except ValueError:
        return
    assert found == name
    assert set(found) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
    assert ".." not in found
    assert 3 <= len(found) <= 63


@pytest.mark.parametrize(
    "url",
    [
        "s3://records/../secret",
        "s3://records/?list-type=2",
        "s3://records#x",
        "s3://ann:secret@records",
        "s3://records%2fsecret",
        "s3://records\n",
        "s3://records HTTP/1.1",
        "s3://..",
        "s3://rec..ords",
        "s3://169.254.169.254/latest",
        "s3://Records",
        "s3://ré-cords",
        "s3://-records",
        "s3://records.",
        "s3://ab",
        "s3://" + "a" * 64,
        "s3://",
        "records",
        "https://records",
    ],
)
async def test_what_is_no_bucket_is_never_asked_for(store: FakeS3, url: str) -> None:
    with pytest.raises(ValueError, match=r"is not s3://|characters, and an S3 bucket's name has"):
        await S3(store.url).region_of(url)

    assert store.asked == []


@pytest.mark.parametrize(
    "name", ["abc", "a" * 63, "my.records-2026", "a.-b", "a-.b", "a--b", "10.0.0.1"]
)
async def test_a_name_is_asked_for_as_it_is(store: FakeS3, name: str) -> None:
    store.regions[name] = "us-east-1"

    assert await S3(store.url).region_of(f"s3://{name}") == "us-east-1"
    assert store.asked == [("HEAD", f"/{name}")]
