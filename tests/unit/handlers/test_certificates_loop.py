"""Certificates of gateways, kept good in every cluster; what fails is told and tried again."""

import logging

import pytest

from builders.fake_kube_api import FakeKubeApi, refuse
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.handlers.certificates import Certificates
from smallmodel_operator.handlers.metrics import certificate_measures

SYSTEM = "smallmodel-system"
SECRETS = f"/api/v1/namespaces/{SYSTEM}/secrets"


async def test_a_cluster_gets_a_certificate_and_its_end_is_measured(
    api: Api, kube: FakeKubeApi
) -> None:
    certificates = Certificates(api, SYSTEM, "hub-1")

    assert await certificates.look("munich", api)

    leaves, authority = certificate_measures(certificates.issued)
    assert [one.labels for one in leaves.samples] == [{"cluster": "munich"}]
    assert leaves.samples[0].value < authority.samples[0].value
    assert f"{SECRETS}/smallmodel-gateway-tls" in kube.objects


async def test_nothing_is_measured_before_anything_was_seen() -> None:
    assert [metric.samples for metric in certificate_measures({})] == [[], []]


async def test_a_damaged_authority_is_told_once_and_takes_no_certificate_away(
    api: Api, kube: FakeKubeApi, caplog: pytest.LogCaptureFixture
) -> None:
    certificates = Certificates(api, SYSTEM, "hub-1")
    await certificates.look("munich", api)
    before = kube.objects[f"{SECRETS}/smallmodel-gateway-tls"]
    authority = kube.objects[f"{SECRETS}/smallmodel-gateway-ca"]
    kube.objects[f"{SECRETS}/smallmodel-gateway-ca"] = authority | {"data": {}}

    with caplog.at_level(logging.WARNING):
        assert not await certificates.look("munich", api)
        assert not await certificates.look("munich", api)

    told = [one.getMessage() for one in caplog.records]
    assert len(told) == 1
    assert "restore it from the backup, or delete it" in told[0]
    assert "BEGIN" not in told[0]
    assert kube.objects[f"{SECRETS}/smallmodel-gateway-tls"] == before
    assert certificates.issued["munich"]


async def test_an_authority_that_was_deleted_is_made_anew_with_all_leaves(
    api: Api, kube: FakeKubeApi
) -> None:
    certificates = Certificates(api, SYSTEM, "hub-1")
    await certificates.look("munich", api)
    before = kube.objects[f"{SECRETS}/smallmodel-gateway-tls"]["data"]["ca.crt"]
    del kube.objects[f"{SECRETS}/smallmodel-gateway-ca"]

    assert await certificates.look("munich", api)
    assert kube.objects[f"{SECRETS}/smallmodel-gateway-tls"]["data"]["ca.crt"] != before


async def test_a_cluster_that_refuses_is_tried_again(api: Api, kube: FakeKubeApi) -> None:
    certificates = Certificates(api, SYSTEM, "hub-1")
    kube.replies = [refuse(403, "Forbidden")] * 9

    assert not await certificates.look("munich", api)
    kube.replies = []
    assert await certificates.look("munich", api)
