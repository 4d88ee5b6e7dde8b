"""The catalogue is applied as it is written, and never over what somebody else changed."""

import pytest
from aiohttp import web

from builders.fake_kube_api import FakeKubeApi, refuse
from smallmodel_operator.api.names import LABEL_MANAGED_BY, MANAGER
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.errors import Forbidden
from smallmodel_operator.install import catalogue
from smallmodel_operator.local.bundled import fetch_bundled_cards

CARDS = fetch_bundled_cards().cards
FIRST = CARDS[:3]
PATH = "/apis/smallmodel.dev/v1alpha1/modelcards"


def not_served(_request: web.Request) -> web.Response:
    """What an API server says before it has heard of the kind."""
    return web.Response(status=404, text="404 page not found")


def test_a_card_is_what_its_file_says_and_is_marked_as_ours() -> None:
    for card in CARDS:
        manifest = catalogue.build_card(card)
        assert manifest["metadata"]["labels"][LABEL_MANAGED_BY] == MANAGER
        assert "namespace" not in manifest["metadata"]
        assert type(card).model_validate(manifest).spec == card.spec


async def test_every_card_is_applied(kube: FakeKubeApi, api: Api) -> None:
    assert await catalogue.apply_cards(api, FIRST) == ()
    assert set(kube.objects) == {f"{PATH}/{card.metadata.name}" for card in FIRST}


async def test_nobodys_fields_are_taken(kube: FakeKubeApi, api: Api) -> None:
    await catalogue.apply_cards(api, FIRST)
    assert {request.query.get("force", "false") for request in kube.seen} == {"false"}


async def test_a_card_that_somebody_changed_is_left_alone_and_named(
    kube: FakeKubeApi, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    kube.replies = [None, refuse(409, "Conflict"), None]
    with caplog.at_level("INFO"):
        assert await catalogue.run(api, FIRST, patience=0)
    assert len(kube.objects) == 2
    assert "2 ModelCards are applied" in caplog.text
    assert f"left alone: {FIRST[1].metadata.name};" in caplog.text


async def test_a_kind_that_is_not_served_yet_is_waited_for(
    kube: FakeKubeApi, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "_PAUSE_SECONDS", 0.0)
    kube.replies = [not_served, None]
    assert await catalogue.run(api, FIRST, patience=30)
    assert len(kube.objects) == 3


async def test_without_the_kind_the_operator_starts_nevertheless(
    kube: FakeKubeApi, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    kube.replies = [not_served]
    assert not await catalogue.run(api, FIRST, patience=0)
    assert "no ModelCards were applied" in caplog.text


async def test_a_missing_right_is_an_error(kube: FakeKubeApi, api: Api) -> None:
    kube.replies = [refuse(403, "Forbidden")]
    with pytest.raises(Forbidden):
        await catalogue.run(api, FIRST, patience=0)
