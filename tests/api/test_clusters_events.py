"""Events as kubectl shows them."""

from pathlib import Path

import pytest

from cluster.access import KubeAccess
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.events import About, Events, EventType
from smallmodel_operator.clusters.ref import CONFIGMAPS, NAMESPACES

pytestmark = pytest.mark.api


async def test_an_event_is_shown_once_for_its_object(
    api: Api, namespace: str, control_plane: KubeAccess
) -> None:
    made = await api.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings", "namespace": namespace},
        }
    )
    events = Events(api, "operator-0")
    for _ in range(3):
        await events.record(About.of(made), "Placed", "on node-1", type_=EventType.WARNING)
    assert (events.written, dict(events.failed)) == (1, {})
    shown = control_plane.kubectl("-n", namespace, "events", "--for", "configmap/settings")
    assert shown.count("Placed") == 1
    assert "Warning" in shown
    assert "on node-1" in control_plane.kubectl("-n", namespace, "describe", "configmap/settings")


async def test_an_object_without_a_namespace_has_events(api: Api, namespace: str) -> None:
    made = await api.get(NAMESPACES.ref(namespace))
    assert made is not None
    events = Events(api, "operator-0")
    await events.record(About.of(made), "Observed", "ü" * 2000)
    assert (events.written, dict(events.failed)) == (1, {})


async def test_who_may_not_write_events_goes_on(stranger: Path, namespace: str) -> None:
    async with await Api.connect(stranger) as api:
        events = Events(api, "operator-0")
        about = About(ref=CONFIGMAPS.ref("settings", namespace), uid="u")
        await events.record(about, "Placed", "on node-1")
    assert dict(events.failed) == {"Forbidden": 1}
