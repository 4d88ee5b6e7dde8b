"""Pools from the first model to the last one."""

from builders.fake_namespace import FakeNamespace, application, served_by
from builders.plan_values import model_args
from builders.pool_values import NAMESPACE, key_of, pool_settings, worker_class
from smallmodel_operator.api.modelplacement import Problem
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Isolation
from smallmodel_operator.plan.pools.names import pool_name
from smallmodel_operator.reconcile.orders import Doomed
from smallmodel_operator.reconcile.sight import SHARED

FIRST_NAME = pool_name(key_of(), 1, pool_settings())
SECOND_NAME = pool_name(key_of(), 2, pool_settings())


def kinds(doomed: tuple[Doomed, ...]) -> list[str]:
    return sorted(each.kind for each in doomed)


def test_a_pool_is_created_without_models_and_gets_them_once_it_is_established() -> None:
    fake = FakeNamespace().place("chat", "embed")

    fake.work()
    assert fake.models_of(fake.pool) == set()

    fake.jobs = {}
    fake.settle(passes=3)
    assert fake.models_of(fake.pool) == {"chat", "embed"}


def test_weights_that_are_there_do_not_bring_a_model_into_a_pool_that_is_not() -> None:
    fake = FakeNamespace().place("chat")
    fake.work()
    fake.world()
    fake.ready.clear()
    fake.serve.clear()

    fake.work()
    fake.work()

    assert fake.models_of(fake.pool) == set()
    problem = fake.placements["chat"].status.problem
    assert problem is not None
    assert problem.reason is Reason.POOL_STARTING


def test_a_pool_that_has_models_keeps_them_while_it_is_not_ready() -> None:
    fake = served_by("chat", "embed")
    fake.ready.clear()
    fake.silent.add(fake.pool)

    orders = fake.work()

    assert fake.models_of(fake.pool) == {"chat", "embed"}
    assert not orders.statuses


def test_a_pools_config_is_built_from_all_of_its_placements() -> None:
    fake = served_by("a", "b", "c")
    before = fake.config(fake.pool)

    fake.place("d")
    fake.settle()

    after = fake.config(fake.pool)
    assert after.keys() == {"a", "b", "c", "d"}
    assert {name: after[name] for name in before} == before


def test_a_full_pool_makes_another_one() -> None:
    fake = served_by("a", "b", "c", models_per_pool=2)

    assert sorted(len(fake.models_of(name)) for name in fake.services) == [1, 2]


def test_a_dedicated_model_has_a_pool_alone() -> None:
    fake = FakeNamespace().place("alone", isolation=Isolation.DEDICATED).place("chat")
    fake.settle()

    assert sorted(fake.models_of(name) for name in fake.services) == [{"alone"}, {"chat"}]


def test_a_deleted_model_leaves_the_config_and_the_others_stay() -> None:
    fake = served_by("chat", "embed")
    fake.delete("chat")

    orders = fake.work()

    assert fake.models_of(fake.pool) == {"embed"}
    assert not orders.delete
    assert not orders.release


def test_a_deleted_model_is_released_only_when_serve_has_it_no_more() -> None:
    fake = served_by("chat", "embed")
    fake.delete("chat")
    fake.work()

    assert not fake.decide().release, "Serve still has it"
    assert fake.decide().again == 2.0
    fake.silent.add(fake.pool)
    assert not fake.decide().release, "unknown is not absent"
    fake.silent.clear()
    fake.world()
    assert fake.decide().release


def test_a_deleted_model_is_not_released_while_its_pools_config_has_it() -> None:
    fake = served_by("chat", "embed")
    fake.delete("chat")
    del fake.serve[fake.pool]["chat"]

    assert not fake.decide().release


def test_the_last_model_is_held_until_a_pool_that_never_started_is_gone() -> None:
    fake = FakeNamespace().place("chat")
    fake.work()
    fake.delete("chat")

    assert not fake.work().release
    assert kinds(fake.decide().delete) == ["PersistentVolumeClaim", "RayService"]
    assert fake.work().release
    assert not fake.claim


def test_a_model_that_never_was_in_its_pool_is_released_while_serve_is_silent() -> None:
    fake = FakeNamespace().place("chat", "embed")
    fake.work()
    fake.delete("chat")

    assert len(fake.decide().release) == 1


def test_a_placement_without_our_finalizer_is_not_released_again() -> None:
    fake = FakeNamespace().place("chat")
    fake.delete("chat")
    metadata = fake.placements["chat"].metadata.model_copy(update={"finalizers": ("other/one",)})
    fake.placements["chat"] = fake.placements["chat"].model_copy(update={"metadata": metadata})

    assert not fake.decide().release


def test_the_last_models_deletion_leaves_nothing() -> None:
    fake = served_by("chat", "embed")
    assert fake.claim
    fake.delete("chat", "embed")

    fake.settle()

    left = (fake.services, fake.jobs, fake.placements, fake.claim)
    assert left == ({}, {}, {}, False)


def test_a_placement_is_held_until_its_pool_is_gone() -> None:
    fake = served_by("chat")
    fake.delete("chat")

    first = fake.decide()
    assert kinds(first.delete) == ["RayService"]
    assert not first.release

    manifest = fake.services[fake.pool]
    manifest["metadata"]["deletionTimestamp"] = fake.now
    going = fake.decide()
    assert not going.delete
    assert not going.release
    assert not going.pools


def test_what_a_pool_that_was_deleted_by_hand_has_left_is_deleted_with_the_model() -> None:
    fake = served_by("chat")
    name = fake.pool
    fake.services.clear()
    fake.delete("chat")

    orders = fake.decide()

    assert Doomed(kind="RayService", name=name) in orders.delete
    assert kinds(orders.delete) == ["PersistentVolumeClaim", "RayService"]
    assert orders.release


def test_what_a_pool_has_left_that_ended_is_deleted_unless_it_is_made_anew() -> None:
    fake = served_by("chat")
    fake.sight["ended"] = frozenset({"cpu-2gi-9-0123abcd", fake.pool})

    assert fake.decide().delete == (Doomed(kind="RayService", name="cpu-2gi-9-0123abcd"),)


def test_a_pool_that_was_deleted_by_hand_is_made_anew() -> None:
    fake = served_by("chat", "embed")
    name = fake.pool
    fake.services.clear()
    fake.serve.clear()
    fake.ready.clear()

    fake.work()
    assert fake.models_of(name) == set()
    assert fake.placements["chat"].status.deployment is None

    fake.settle()
    assert fake.models_of(name) == {"chat", "embed"}


def test_a_pool_that_is_being_deleted_gets_nothing_and_is_made_anew_once_it_is_gone() -> None:
    fake = served_by("chat")
    name = fake.pool
    fake.services[name]["metadata"]["deletionTimestamp"] = fake.now

    orders = fake.work()

    problem = fake.placements["chat"].status.problem
    assert not orders.pools
    assert not orders.delete
    assert problem is not None
    assert "made anew" in problem.message


def test_a_jobs_end_and_a_claims_end_are_no_business_of_other_namespaces() -> None:
    assert not FakeNamespace().decide().delete
    assert FakeNamespace().decide().again is None


def test_more_workers_reach_a_pool_that_is_there() -> None:
    fake = served_by("chat", "embed")

    fake.place("embed", worker=worker_class(max_workers=7))
    fake.work()

    (group,) = fake.services[fake.pool]["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert group["maxReplicas"] == 7


def test_nothing_is_made_in_a_namespace_that_ends_and_finalizers_are_released() -> None:
    fake = FakeNamespace(sight={"ending": True}).place("chat", "embed")
    fake.delete("embed")

    orders = fake.work()

    assert not (orders.pools)
    assert not (orders.jobs)
    assert not (orders.wants_claim)
    assert not (orders.probes)
    assert len(orders.release) == 1
    problem = fake.placements["chat"].status.problem
    assert problem is not None
    assert problem.reason is Reason.NAMESPACE_ENDING


def test_models_in_a_namespace_that_ends_are_not_asked() -> None:
    fake = FakeNamespace().place("chat")
    fake.settle(passes=2)
    assert fake.decide().probes

    fake.sight["ending"] = True

    assert not fake.decide().probes


def test_without_kuberay_models_wait_with_the_step_to_take_and_go_on_when_it_is_there() -> None:
    fake = FakeNamespace(sight={"missing_api": "helm install kuberay"}).place("chat")

    orders = fake.work()
    assert not (orders.pools)
    assert not (orders.jobs)
    assert not (orders.wants_claim)
    assert fake.placements["chat"].status.problem == Problem(
        reason=Reason.API_MISSING, message="helm install kuberay"
    )

    fake.sight.clear()
    fake.settle()
    assert fake.placements["chat"].status.problem is None


def test_a_foreign_rayservice_of_the_name_is_left_alone_and_the_next_number_taken() -> None:
    fake = FakeNamespace(sight={"foreign": frozenset({FIRST_NAME})}).place("chat")
    fake.settle()

    assert set(fake.services) == {SECOND_NAME}


def test_a_pool_that_lost_the_label_of_its_owner_is_neither_touched_nor_replaced() -> None:
    fake = served_by("chat")
    name = fake.pool
    fake.services.clear()
    fake.sight["foreign"] = frozenset({name})
    before = fake.placements["chat"].status

    orders = fake.work()

    after = fake.placements["chat"].status
    assert not (orders.pools)
    assert not (orders.delete)
    assert (after.pool, after.deployment) == (before.pool, before.deployment)
    assert after.problem is not None
    assert after.problem.reason is Reason.NAME_CONFLICT
    assert f"label rayservice {name} smallmodel.dev/hub=hub-1" in after.problem.message
    assert not fake.work().statuses

    fake.delete("chat")
    assert Doomed(kind="RayService", name=name) not in fake.decide().delete


def test_what_the_api_server_says_against_a_pool_is_its_models_problem() -> None:
    fake = FakeNamespace().place("chat")
    said = Problem(reason=Reason.REFUSED, message="exceeded quota")
    fake.sight["refused"] = {FIRST_NAME: said}

    fake.work()

    assert fake.placements["chat"].status.problem == said


def test_what_is_said_against_a_fetch_is_the_problem_of_its_model_alone_until_it_is_fetched() -> (
    None
):
    fake = served_by("chat").place("more")
    (job,) = (each["metadata"]["name"] for each in fake.decide().jobs)
    said = Problem(reason=Reason.NAME_CONFLICT, message="it is theirs")
    fake.sight["refused"] = {job: said}

    fake.work()
    assert fake.placements["more"].status.problem == said
    assert fake.placements["chat"].status.problem is None

    fake.settle()
    assert fake.placements["more"].status.problem is None, "a Job of the name is there now"


def test_what_is_said_against_what_all_pools_share_is_everybodys_problem() -> None:
    fake = served_by("chat").place("more")
    said = Problem(reason=Reason.NAME_CONFLICT, message="the claim is theirs")
    fake.sight["refused"] = {SHARED: said}

    fake.work()

    assert {p.status.problem for p in fake.placements.values()} == {said}


def test_a_worker_class_of_which_no_pod_can_be_made_is_one_models_problem() -> None:
    fake = served_by("chat")
    other = fake.pool
    fake.place("big", worker=worker_class("none", memory="1Mi"), status={"pool": "none-1-aaaaaaaa"})

    fake.work()

    problem = fake.placements["big"].status.problem
    assert problem is not None
    assert problem.reason is Reason.ENGINE_NOT_INSTALLED
    assert fake.models_of(other) == {"chat"}


def test_models_without_the_accelerators_image_go_on_in_a_pool_that_has_it() -> None:
    fake = served_by("chat")
    name = fake.pool
    small = worker_class("none", memory="1Mi")
    fake.place("chat", worker=small)
    before = dict(fake.services)

    orders = fake.work()

    assert fake.services == before
    assert not (orders.pools)
    assert not (orders.delete)
    assert fake.placements["chat"].status.pool == name


def test_serves_words_of_other_models_are_nobodys_placement() -> None:
    fake = served_by("chat")
    fake.serve[fake.pool]["stranger"] = application("stranger", args=model_args("stranger"))

    assert not fake.decide().statuses


def test_the_problem_of_an_api_that_is_missing_is_not_told_where_the_namespace_ends() -> None:
    fake = FakeNamespace(sight={"missing_api": "helm", "ending": True}).place("chat")
    fake.work()

    problem = fake.placements["chat"].status.problem
    assert problem is not None
    assert NAMESPACE in problem.message
