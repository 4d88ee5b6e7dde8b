"""The hub's id on a real API server."""

import asyncio

import pytest

from cluster.access import KubeAccess
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.identity import HUB_SECRET, hub_id

pytestmark = pytest.mark.api


async def test_many_that_start_at_once_have_one_id(api: Api, namespace: str) -> None:
    made = await asyncio.gather(*(hub_id(api, namespace) for _ in range(10)))
    assert len(set(made)) == 1
    assert await hub_id(api, namespace) == made[0]


async def test_it_cannot_be_changed_by_mistake(
    api: Api, namespace: str, control_plane: KubeAccess
) -> None:
    made = await hub_id(api, namespace)
    edit = ("patch", "secret", HUB_SECRET, "-p", '{"data": {"hubID": "YQ=="}}')
    assert control_plane.try_kubectl("-n", namespace, *edit).returncode != 0
    assert await hub_id(api, namespace) == made
