"""Silence, hand-edited pools, and placements that cannot be read: nothing is concluded."""

import json

import pytest

from builders.fake_namespace import FakeNamespace, served_by
from builders.pool_values import NAMESPACE
from smallmodel_operator.plan.pools.values import ANNOTATION_WORKER
from smallmodel_operator.reconcile.reading import read_live
from smallmodel_operator.reconcile.sight import JobSight


def without_annotations(fake: FakeNamespace, pool: str) -> None:
    service = json.loads(json.dumps(fake.services[pool]))
    service["metadata"]["annotations"] = {}
    fake.services[pool] = service


def with_config(fake: FakeNamespace, pool: str, text: str) -> None:
    service = json.loads(json.dumps(fake.services[pool]))
    service["spec"]["serveConfigV2"] = text
    fake.services[pool] = service


def test_where_serve_is_silent_nothing_is_concluded() -> None:
    fake = served_by("chat", "embed")
    fake.silent.add(fake.pool)
    before = dict(fake.services)

    orders = fake.work()

    assert not orders.statuses
    assert not orders.delete
    assert not orders.probes
    assert fake.services == before


def test_a_silent_serve_says_nothing_of_a_model_that_was_never_seen_there() -> None:
    fake = FakeNamespace().place("chat")
    fake.work()
    fake.world()
    fake.silent.add(fake.pool)

    fake.work()

    assert fake.placements["chat"].status.deployment is None


def test_annotations_that_somebody_removed_are_written_anew() -> None:
    fake = served_by("chat", "embed")
    name, before = fake.pool, fake.services[fake.pool]
    without_annotations(fake, name)

    orders = fake.work()

    assert fake.services[name] == before
    assert not orders.statuses


@pytest.mark.parametrize("text", ["not JSON", '{"other": 1}', "[]"])
def test_a_config_that_somebody_else_wrote_is_written_anew_with_all_models(text: str) -> None:
    fake = served_by("chat", "embed")
    name, before = fake.pool, fake.services[fake.pool]
    with_config(fake, name, text)
    fake.ready.clear()

    orders = fake.work()

    assert fake.services[name] == before
    assert not orders.statuses


def test_a_broken_config_is_left_while_it_holds_what_has_to_go_on_as_it_runs() -> None:
    fake = served_by("chat", "embed")
    with_config(fake, fake.pool, "broken")
    fake.sight["unread"] = frozenset({"other"})

    orders = fake.work()

    assert not orders.pools
    assert not orders.delete


def test_a_pool_of_ours_that_nobody_speaks_of_is_deleted_and_its_name_not_given_again() -> None:
    fake = served_by("chat")
    name = fake.pool
    without_annotations(fake, name)
    fake.placements.clear()
    fake.place("embed")

    orders = fake.decide()

    assert [(each.kind, each.name) for each in orders.delete] == [("RayService", name)]
    assert [pool.name for pool in orders.pools] != [name]


def test_a_pool_that_cannot_be_read_is_not_deleted_beside_a_placement_that_cannot() -> None:
    fake = served_by("chat")
    without_annotations(fake, fake.pool)
    fake.placements.clear()
    fake.sight["unread"] = frozenset({"chat"})

    assert not fake.decide().delete


def test_the_class_of_an_edited_pool_is_that_of_a_model_that_stays() -> None:
    fake = served_by("a", "b")
    name = fake.pool
    leaving = fake.placements["a"]
    worker = leaving.spec.worker.model_copy(update={"name": "cpu-8gi"})
    moved = leaving.spec.model_copy(update={"worker": worker})
    told = leaving.status.model_copy(update={"moving_to": "cpu-8gi-1-aaaaaaaa"})
    fake.placements["a"] = leaving.model_copy(update={"spec": moved, "status": told})
    without_annotations(fake, name)
    fake.services[name]["metadata"]["deletionTimestamp"] = fake.now

    read = read_live(fake.services[name], fake.placements.values())

    assert read is not None
    assert read.live.key.worker.name == "cpu-4gi"
    assert read.live.models == {"a", "b"}
    assert read.live.deleting
    assert read.live.key.namespace == NAMESPACE


def test_the_annotation_of_another_kind_makes_it_nobodys_pool() -> None:
    fake = served_by("chat")
    manifest = fake.services[fake.pool]
    manifest["metadata"]["annotations"][ANNOTATION_WORKER] = "{}"

    assert read_live(manifest, ()) is None


def test_what_runs_of_a_placement_that_cannot_be_read_goes_on_as_it_runs() -> None:
    fake = served_by("chat", "embed")
    before = fake.config(fake.pool)["chat"]
    del fake.placements["chat"]
    fake.sight["unread"] = frozenset({"chat"})
    fake.place("third")

    fake.settle(passes=4)

    assert fake.models_of(fake.pool) == {"chat", "embed", "third"}
    assert fake.config(fake.pool)["chat"] == before


def test_a_pool_stays_for_a_placement_that_cannot_be_read() -> None:
    fake = served_by("chat")
    fake.placements.clear()
    fake.jobs["fetch-any"] = JobSight(manifest={"metadata": {"name": "fetch-any"}})
    fake.sight["unread"] = frozenset({"chat"})

    orders = fake.work()

    assert not orders.delete, "the Job may be the one that it waits for"
    assert fake.models_of(fake.pool) == {"chat"}
