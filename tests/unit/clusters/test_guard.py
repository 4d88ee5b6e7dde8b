"""What is ours is written and deleted; what is somebody else's is not even looked at twice."""

from typing import Any

import pytest

from builders.fake_kube_api import FakeKubeApi, refuse
from builders.kube_objects import CONFIG_MAP_PATH, HUB, config_map
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.guard import apply_owned, check_owned, delete_owned, owner_of
from smallmodel_operator.clusters.ref import CONFIGMAPS

SETTINGS = CONFIGMAPS.ref("settings", "team")
FOREIGN: dict[str, tuple[str | None, str]] = {
    "another installation's": ("hub-2", "belongs to the installation hub-2"),
    "a person's": (None, "has no label smallmodel.dev/hub"),
}


def writes(kube: FakeKubeApi) -> int:
    return sum(one.method != "GET" for one in kube.seen)


async def test_what_is_not_there_is_made(api: Api, kube: FakeKubeApi) -> None:
    applied = await apply_owned(api, config_map(), HUB)
    assert applied.written
    assert kube.objects[CONFIG_MAP_PATH]["data"] == {"key": "value"}


async def test_what_is_made_takes_nothing_over_that_came_in_between(
    api: Api, kube: FakeKubeApi
) -> None:
    await apply_owned(api, config_map(), HUB)
    assert kube.seen[-1].query["force"] == "false"


async def test_what_is_so_already_is_not_written(api: Api, kube: FakeKubeApi) -> None:
    first = await apply_owned(api, config_map(), HUB)
    second = await apply_owned(api, config_map(), HUB)
    assert not second.written
    assert second.live == first.live
    assert writes(kube) == 1


async def test_a_changed_manifest_is_written(api: Api, kube: FakeKubeApi) -> None:
    await apply_owned(api, config_map(), HUB)
    applied = await apply_owned(api, config_map(data={"key": "new"}), HUB)
    assert applied.written
    assert applied.live["data"] == {"key": "new"}
    assert kube.seen[-1].query["force"] == "true"


async def test_what_somebody_changed_is_repaired(api: Api, kube: FakeKubeApi) -> None:
    await apply_owned(api, config_map(), HUB)
    kube.objects[CONFIG_MAP_PATH]["data"] = {"key": "edited"}
    applied = await apply_owned(api, config_map(), HUB)
    assert applied.written
    assert applied.live["data"] == {"key": "value"}


async def test_what_somebody_added_stays(api: Api, kube: FakeKubeApi) -> None:
    await apply_owned(api, config_map(), HUB)
    kube.objects[CONFIG_MAP_PATH]["data"]["more"] = "theirs"
    assert not (await apply_owned(api, config_map(), HUB)).written


async def test_a_write_is_for_the_object_that_was_read(api: Api, kube: FakeKubeApi) -> None:
    live = (await apply_owned(api, config_map(), HUB)).live
    await apply_owned(api, config_map(data={"key": "new"}), HUB)
    assert kube.seen[-1].body["metadata"]["uid"] == live["metadata"]["uid"]


@pytest.mark.parametrize("case", FOREIGN)
async def test_a_foreign_object_is_never_written(case: str, api: Api, kube: FakeKubeApi) -> None:
    owner, told = FOREIGN[case]
    theirs = kube.put(CONFIG_MAP_PATH, config_map(owner=owner, data={"key": "theirs"}))
    with pytest.raises(errors.NameConflict, match=rf"ConfigMap team/settings .*{told}.*rename"):
        await apply_owned(api, config_map(), HUB)
    assert kube.objects[CONFIG_MAP_PATH] == theirs
    assert writes(kube) == 0


@pytest.mark.parametrize("case", FOREIGN)
async def test_a_foreign_object_is_never_deleted(case: str, api: Api, kube: FakeKubeApi) -> None:
    kube.put(CONFIG_MAP_PATH, config_map(owner=FOREIGN[case][0]))
    with pytest.raises(errors.NameConflict):
        await delete_owned(api, SETTINGS, HUB)
    assert writes(kube) == 0


async def test_a_manifest_that_would_not_be_ours_is_a_mistake(api: Api, kube: FakeKubeApi) -> None:
    with pytest.raises(ValueError, match="is to be ours and lacks the label"):
        await apply_owned(api, config_map(owner=None), HUB)
    assert kube.seen == []


async def test_a_write_from_an_old_version_is_a_conflict(api: Api, kube: FakeKubeApi) -> None:
    old = (await apply_owned(api, config_map(), HUB)).live["metadata"]["resourceVersion"]
    kube.put(CONFIG_MAP_PATH, kube.objects[CONFIG_MAP_PATH])
    with pytest.raises(errors.Conflict):
        await apply_owned(api, config_map(), HUB, resource_version=old)


async def test_a_write_from_a_version_of_what_is_gone_is_a_conflict(
    api: Api, kube: FakeKubeApi
) -> None:
    with pytest.raises(errors.Conflict, match="is gone, and was at 17"):
        await apply_owned(api, config_map(), HUB, resource_version="17")
    assert writes(kube) == 0


async def test_a_write_from_the_live_version_that_changes_nothing_is_not_sent(
    api: Api, kube: FakeKubeApi
) -> None:
    live = (await apply_owned(api, config_map(), HUB)).live
    version = live["metadata"]["resourceVersion"]
    assert not (await apply_owned(api, config_map(), HUB, resource_version=version)).written


async def test_ours_is_deleted_once(api: Api, kube: FakeKubeApi) -> None:
    uid = kube.put(CONFIG_MAP_PATH, config_map())["metadata"]["uid"]
    assert await delete_owned(api, SETTINGS, HUB)
    assert kube.seen[-1].body["preconditions"] == {"uid": uid}
    assert not await delete_owned(api, SETTINGS, HUB)
    assert writes(kube) == 1


async def test_what_is_being_deleted_is_left_to_end(api: Api, kube: FakeKubeApi) -> None:
    ending = config_map(data={"key": "old"})
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    kube.put(CONFIG_MAP_PATH, ending)
    assert await delete_owned(api, SETTINGS, HUB)
    applied = await apply_owned(api, config_map(), HUB)
    assert (applied.written, applied.ending) == (False, True)
    assert writes(kube) == 0
    del kube.objects[CONFIG_MAP_PATH]
    applied = await apply_owned(api, config_map(), HUB)
    assert (applied.written, applied.ending) == (True, False)


async def test_an_object_that_cannot_be_read_is_not_written(api: Api, kube: FakeKubeApi) -> None:
    kube.replies = [refuse(403)]
    with pytest.raises(errors.Forbidden):
        await apply_owned(api, config_map(), HUB)
    assert writes(kube) == 0


@pytest.mark.parametrize("metadata", [{}, {"labels": None}, {"labels": {"a": "b"}}])
def test_an_object_without_our_label_has_no_owner(metadata: dict[str, Any]) -> None:
    assert owner_of({"metadata": metadata}) is None


def test_ours_passes() -> None:
    check_owned(config_map(), HUB)
