"""An operator whose clock is wrong serves models as any other does.

The machine's clock stays as it is: the operator's loops are told another time of day than that of
the API server and of the controller manager, who write times into the objects that it reads.
"""

from datetime import UTC, datetime, timedelta

import pytest

from cluster.access import KubeAccess
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import NAMESPACES, RAYSERVICES, SMALLMODELS
from support.loops_by_hand import CARD, PLACEMENTS, LoopsByHand

pytestmark = pytest.mark.api

_PASSES_MAX = 150


@pytest.mark.parametrize("wrong", [timedelta(hours=-1), timedelta(hours=1)], ids=["late", "early"])
async def test_a_model_comes_and_goes_whatever_time_the_operator_believes_it_to_be(
    control_plane: KubeAccess, api: Api, namespace: str, crds: None, wrong: timedelta
) -> None:
    del crds
    if await api.get(NAMESPACES.ref(PLACEMENTS)) is None:
        await api.create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACEMENTS}}
        )
    now = (datetime.now(UTC) + wrong).strftime("%Y-%m-%dT%H:%M:%SZ")
    async with await Api.connect(control_plane.kubeconfig) as own:
        loops = LoopsByHand(own, api, namespace, now=now)
        before = await loops.owned()
        await api.create(
            {
                "apiVersion": SMALLMODELS.api_version,
                "kind": SMALLMODELS.kind,
                "metadata": {"name": "chat", "namespace": namespace},
                "spec": {"model": CARD.metadata.name},
            }
        )
        for _ in range(_PASSES_MAX):
            await loops.one_pass()
            if await _is_served(api, namespace):
                break
        assert await _is_served(api, namespace)
        model = await api.get(SMALLMODELS.ref("chat", namespace)) or {}
        times = {each["lastTransitionTime"] for each in model["status"]["conditions"]}
        assert times == {now}

        await api.delete(SMALLMODELS.ref("chat", namespace))
        for _ in range(_PASSES_MAX):
            await loops.one_pass()
            if await loops.owned() == before:
                break
        assert await loops.owned() == before
        await loops.close()


async def _is_served(api: Api, namespace: str) -> bool:
    pools, _ = await api.list(RAYSERVICES, namespace)
    return any('"name":"chat"' in pool["spec"]["serveConfigV2"] for pool in pools)
