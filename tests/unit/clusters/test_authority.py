"""The Secrets with certificates of gateways: made once, kept, and never made anew in silence."""

import base64
import datetime

import pytest

from builders.fake_kube_api import FakeKubeApi
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.authority import authority, keep_leaf
from smallmodel_operator.clusters.certificates import Pair, make_authority
from smallmodel_operator.clusters.identity import IdentityUnreadable

NOW = datetime.datetime(2026, 11, 29, tzinfo=datetime.UTC)
LATER = NOW + datetime.timedelta(days=61)
SYSTEM = "smallmodel-system"
CA = f"/api/v1/namespaces/{SYSTEM}/secrets/smallmodel-gateway-ca"
TLS = f"/api/v1/namespaces/{SYSTEM}/secrets/smallmodel-gateway-tls"


async def keep(api: Api, signer: Pair, now: datetime.datetime = NOW) -> datetime.datetime:
    return (await keep_leaf(api, SYSTEM, "munich", "hub-1", signer, now)).leaf


def writes(kube: FakeKubeApi) -> list[str]:
    return [f"{one.method} {one.path}" for one in kube.seen if one.method != "GET"]


async def test_the_authority_is_made_once_and_kept(api: Api, kube: FakeKubeApi) -> None:
    first = await authority(api, SYSTEM, "hub-1", NOW)

    assert await authority(api, SYSTEM, "hub-1", NOW) == first
    assert kube.objects[CA]["immutable"] is True
    assert kube.objects[CA]["metadata"]["labels"]["app.kubernetes.io/managed-by"]


@pytest.mark.parametrize(
    "data",
    [{}, {"tls.crt": "no base64!", "tls.key": ""}, {"tls.crt": base64.b64encode(b"x").decode()}],
)
async def test_a_damaged_authority_is_told_and_left(
    api: Api, kube: FakeKubeApi, data: dict[str, str]
) -> None:
    kube.objects[CA] = {"metadata": {"name": "smallmodel-gateway-ca"}, "data": data}

    with pytest.raises(IdentityUnreadable, match="restore it from the backup, or delete it"):
        await authority(api, SYSTEM, "hub-1", NOW)
    assert writes(kube) == []


async def test_an_authority_that_ended_is_told(api: Api, kube: FakeKubeApi) -> None:
    await authority(api, SYSTEM, "hub-1", NOW)

    with pytest.raises(IdentityUnreadable, match="it has ended"):
        await authority(api, SYSTEM, "hub-1", NOW + datetime.timedelta(days=3651))


async def test_a_leaf_is_made_kept_and_renewed_before_it_ends(api: Api, kube: FakeKubeApi) -> None:
    signer = make_authority("hub-1", NOW)
    first = await keep(api, signer)

    assert await keep(api, signer) == first
    assert len(writes(kube)) == 1
    assert await keep(api, signer, LATER) > first
    assert len(writes(kube)) == 2
    assert set(kube.objects[TLS]["data"]) == {"tls.crt", "tls.key", "ca.crt"}


async def test_with_another_authority_every_leaf_is_another(api: Api, kube: FakeKubeApi) -> None:
    await keep(api, make_authority("hub-1", NOW))
    other = make_authority("hub-1", NOW)
    await keep(api, other)

    assert base64.b64decode(kube.objects[TLS]["data"]["ca.crt"]) == other.certificate


async def test_a_leaf_whose_authority_somebody_took_out_is_made_anew(
    api: Api, kube: FakeKubeApi
) -> None:
    signer = make_authority("hub-1", NOW)
    await keep(api, signer)
    del kube.objects[TLS]["data"]["ca.crt"]
    await keep(api, signer)

    assert base64.b64decode(kube.objects[TLS]["data"]["ca.crt"]) == signer.certificate
