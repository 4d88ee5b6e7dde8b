"""What a list lacks is asked for by its name before it counts as gone."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builders.fake_kube_api import FakeKubeApi
from builders.operators import MODELS, operator, put_model
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.refusals import Answer
from smallmodel_operator.clusters.requests import Request
from smallmodel_operator.clusters.wire import Send


@dataclass
class Faults:
    """What is wrong with lists: whole ones of a kind lack objects, and single ones fail."""

    lacks: str = ""
    fails: bool = False

    async def __call__(self, request: Request, send: Send) -> Answer:
        answer = await send(request)
        if request.call.verb != "list" or request.call.resource != self.lacks:
            return answer
        if "fieldSelector" not in request.query:
            told = answer.json()
            return Answer(status=200, content=json.dumps(told | {"items": []}).encode())
        if self.fails:
            raise errors.ServerFailed("by order", status=500)
        return answer


SOURCE = "/apis/smallmodel.dev/v1alpha1/namespaces/team/datasources/records"


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
async def through(kube: FakeKubeApi, tmp_path: Path, faults: Faults) -> AsyncIterator[Api]:
    """The API server behind something that spoils lists."""
    async with await Api.connect(kube.kubeconfig(tmp_path), around=faults) as api:
        yield api


async def test_a_list_without_models_that_are_there_ends_none(
    through: Api, kube: FakeKubeApi, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("chat", "embed"):
        put_model(kube, name)
    async with operator(through) as one:
        await one.resync.read_everything()
        faults.lacks = "smallmodels"
        del kube.objects[MODELS.format("team", "embed")]

        await one.resync.read_everything()

        assert {name for _, name in one.stores.models} == {"chat"}
    assert "a list of smallmodels.smallmodel.dev lacked team/chat" in caplog.text


async def test_a_list_without_a_law_that_is_there_repeals_none(
    through: Api, kube: FakeKubeApi, faults: Faults
) -> None:
    kube.put(SOURCE, {"metadata": {"name": "records", "namespace": "team"}, "spec": {}})
    async with operator(through) as one:
        await one.resync.read_everything()
        assert set(one.stores.sources) == {("team", "records")}
        faults.lacks = "datasources"

        await one.resync.read_everything()
        assert set(one.stores.sources) == {("team", "records")}

        del kube.objects[SOURCE]
        await one.resync.read_everything()
        assert set(one.stores.sources) == set()


async def test_where_the_api_server_does_not_say_nothing_counts_as_gone(
    through: Api, kube: FakeKubeApi, faults: Faults
) -> None:
    put_model(kube, "chat")
    async with operator(through) as one:
        await one.resync.read_everything()
        faults.lacks, faults.fails = "smallmodels", True

        with pytest.raises(errors.ServerFailed):
            await one.resync.read_everything()

        assert {name for _, name in one.stores.models} == {"chat"}
