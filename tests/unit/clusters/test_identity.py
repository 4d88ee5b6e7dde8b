"""The hub's id and the key of its pools' tokens are made once."""

import asyncio
import base64

import pytest

from builders.fake_kube_api import FakeKubeApi, missing, refuse
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.identity import IdentityUnreadable, hub_id, token_key

PATH = "/api/v1/namespaces/smallmodel-system/secrets/smallmodel-hub"
TOKENS = "/api/v1/namespaces/smallmodel-system/secrets/smallmodel-pool-tokens"


async def test_the_first_start_makes_an_id(api: Api, kube: FakeKubeApi) -> None:
    made = await hub_id(api, "smallmodel-system")
    stored = kube.objects[PATH]
    assert base64.b64decode(stored["data"]["hubID"]).decode() == made
    assert stored["immutable"] is True
    assert len(made) == 16


async def test_later_starts_read_it(api: Api, kube: FakeKubeApi) -> None:
    first = await hub_id(api, "smallmodel-system")
    assert await hub_id(api, "smallmodel-system") == first
    assert kube.methods["POST"] == 1


async def test_two_installations_have_two_ids(api: Api) -> None:
    assert await hub_id(api, "one") != await hub_id(api, "two")


async def test_several_that_make_it_at_once_agree(api: Api, kube: FakeKubeApi) -> None:
    # All of them are told first that there is none.
    kube.replies = [lambda request: missing(request.path)] * 8
    made = await asyncio.gather(*(hub_id(api, "smallmodel-system") for _ in range(8)))
    assert len(set(made)) == 1
    assert kube.methods["POST"] == 8


async def test_an_id_that_was_chosen_is_kept(api: Api, kube: FakeKubeApi) -> None:
    data = {"hubID": base64.b64encode(b"acme-prod").decode()}
    kube.put(PATH, {"metadata": {"name": "smallmodel-hub"}, "data": data})
    assert await hub_id(api, "smallmodel-system") == "acme-prod"


BAD = {
    "nothing": None,
    "an empty id": "",
    "no base64": "%%%",
    "no text": base64.b64encode(b"\xff\xfe").decode(),
    "no label's value": base64.b64encode(b"a b").decode(),
    "a trailing newline": base64.b64encode(b"acme\n").decode(),
    "too long": base64.b64encode(b"a" * 64).decode(),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_secret_without_a_usable_id_is_refused(
    case: str, api: Api, kube: FakeKubeApi
) -> None:
    data = None if BAD[case] is None else {"hubID": BAD[case]}
    kube.put(PATH, {"metadata": {"name": "smallmodel-hub"}, "data": data})
    with pytest.raises(IdentityUnreadable, match="restore it from the backup"):
        await hub_id(api, "smallmodel-system")
    assert kube.methods == {"GET": 1}


async def test_a_secret_that_vanishes_meanwhile_is_an_error(api: Api, kube: FakeKubeApi) -> None:
    kube.replies = [None, refuse(409, "AlreadyExists")]
    with pytest.raises(errors.ApiError):
        await hub_id(api, "smallmodel-system")


async def test_the_key_of_tokens_is_made_once_and_is_long(api: Api, kube: FakeKubeApi) -> None:
    made = await token_key(api, "smallmodel-system")

    assert await token_key(api, "smallmodel-system") == made
    assert await token_key(api, "another") != made
    assert len(made) == 64
    assert kube.objects[TOKENS]["immutable"] is True
    labels = kube.objects[TOKENS]["metadata"]["labels"]
    assert labels == {"app.kubernetes.io/managed-by": "smallmodel-operator"}


@pytest.mark.parametrize("text", [b"", b"short", b"a" * 31, b"with a space" * 4])
async def test_a_secret_without_a_usable_key_is_refused(
    api: Api, kube: FakeKubeApi, text: bytes
) -> None:
    data = {"key": base64.b64encode(text).decode()}
    kube.put(TOKENS, {"metadata": {"name": "smallmodel-pool-tokens"}, "data": data})

    with pytest.raises(IdentityUnreadable, match="restore it from the backup"):
        await token_key(api, "smallmodel-system")
