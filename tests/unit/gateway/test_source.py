import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from smallmodel_operator.gateway.metrics import AgentMetrics
from smallmodel_operator.gateway.source import Backoff, ConfigMapSource
from support.fake_config_map_api import FakeConfigMapApi

NAME = "smallmodel-gateway"


def config_map(version: str, name: str = NAME) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"version": version}}


def version_of(found: Any) -> str:
    version: str = found["data"]["version"]
    return version


@pytest.fixture
async def api() -> AsyncIterator[FakeConfigMapApi]:
    found = FakeConfigMapApi()
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
async def source(api: FakeConfigMapApi) -> AsyncIterator[ConfigMapSource]:
    configuration = Configuration(host=f"http://127.0.0.1:{api.port}")
    configuration.api_key["BearerToken"] = "Bearer of-nobody"
    async with ApiClient(configuration) as client:
        yield ConfigMapSource(
            client, "smallmodel-system", NAME, AgentMetrics(), Backoff(0.01, 0.02)
        )


async def following(changes: AsyncGenerator[Any, None]) -> str:
    async with asyncio.timeout(10):
        return version_of(await anext(changes))


async def test_what_is_there_comes_first_and_each_change_after(
    api: FakeConfigMapApi, source: ConfigMapSource
) -> None:
    await api.put(config_map("1"))
    async with aclosing(source.changes()) as changes:
        assert await following(changes) == "1"
        for version in ("2", "3"):
            await api.put(config_map(version))
            assert await following(changes) == version
    assert (api.lists, api.watches) == (1, 1)


async def test_another_config_map_is_not_ours(
    api: FakeConfigMapApi, source: ConfigMapSource
) -> None:
    await api.put(config_map("1", name="another"))
    async with aclosing(source.changes()) as changes:
        coming = asyncio.ensure_future(following(changes))
        while not api.watches:
            await asyncio.sleep(0.01)
        await api.put(config_map("2"))
        assert await coming == "2"


async def test_a_deleted_one_tells_nothing_until_it_is_back(
    api: FakeConfigMapApi, source: ConfigMapSource
) -> None:
    await api.put(config_map("1"))
    async with aclosing(source.changes()) as changes:
        assert await following(changes) == "1"
        await api.delete()
        await api.put(config_map("2"))
        assert await following(changes) == "2"


async def test_an_api_server_that_was_away_is_listed_again(
    api: FakeConfigMapApi, source: ConfigMapSource
) -> None:
    await api.put(config_map("1"))
    async with aclosing(source.changes()) as changes:
        assert await following(changes) == "1"
        coming = asyncio.ensure_future(following(changes))
        while not api.watches:
            await asyncio.sleep(0.01)
        await api.stop()
        await api.put(config_map("2"))
        api.forget()
        await api.start()
        assert await coming == "2"


async def test_the_newest_is_told_and_silence_too(
    api: FakeConfigMapApi, source: ConfigMapSource
) -> None:
    await api.put(config_map("1"))
    async with aclosing(source.latest(every=0.2)) as found:
        assert version_of(await anext(found)) == "1"
        for version in ("2", "3", "4"):
            await api.put(config_map(version))
        while (newest := await anext(found)) is None or version_of(newest) != "4":
            assert newest is None or version_of(newest) in ("2", "3")
        assert await anext(found) is None


@given(st.floats(min_value=0, max_value=1))
def test_waits_grow_to_their_longest_and_half_of_each_is_sure(chance: float) -> None:
    backoff = Backoff(0.1, 1.0, jitter=lambda: chance)
    waits = [backoff.wait() for _ in range(6)]

    for wait, whole in zip(waits, [0.1, 0.2, 0.4, 0.8, 1.0, 1.0], strict=True):
        assert whole / 2 <= wait <= whole
    backoff.reset()
    assert backoff.wait() <= 0.1
