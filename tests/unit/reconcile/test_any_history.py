"""Whatever happens in whatever order: what always holds, and where it all ends."""

import random
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from builders.fake_namespace import FakeNamespace, is_verified
from builders.plan_values import model_args
from builders.pool_values import pool_settings, worker_class
from smallmodel_operator.api.serving import LlamaCppArgs
from smallmodel_operator.reconcile.namespace import decide_namespace

MODELS = ("a", "b", "c", "d")
models = st.sampled_from(MODELS)
MISSING = "registry.example/serving-cpu:missing"
IMAGES = ("registry.example/serving-cpu:1", "registry.example/serving-cpu:2", MISSING)
CLASSES = {"cpu-4gi": "4Gi", "cpu-8gi": "8Gi"}


def spec_of(name: str, context: int, class_name: str) -> dict[str, Any]:
    engine = LlamaCppArgs(context_length=context, slots=4)
    return {
        "args": model_args(name, weights="", engine=engine),
        "worker": worker_class(class_name, memory=CLASSES[class_name]),
    }


class AnyHistory(RuleBasedStateMachine):
    """People, faults and time, against one namespace with pools of at most two models."""

    def __init__(self) -> None:
        super().__init__()
        self.fake = FakeNamespace(settings=pool_settings(models_per_pool=2), missing={MISSING})

    @initialize(names=st.sets(models, min_size=2), passes=st.integers(0, 8))
    def some_models_were_there_before(self, names: set[str], passes: int) -> None:
        self.fake.place(*sorted(names))
        self.fake.settle(passes=passes)

    @rule(
        name=models,
        context=st.sampled_from([2048, 4096]),
        class_name=st.sampled_from(sorted(CLASSES)),
    )
    def somebody_applies_a_model(self, name: str, context: int, class_name: str) -> None:
        before = self.fake.placements.get(name)
        if before is None or before.metadata.deletion_timestamp is None:
            self.fake.place(name, **spec_of(name, context, class_name))

    @rule(name=models)
    def somebody_deletes_a_model(self, name: str) -> None:
        if name in self.fake.placements:
            self.fake.delete(name)

    @rule(name=models)
    def a_model_breaks(self, name: str) -> None:
        self.fake.unloadable.add(name)

    @rule(name=models)
    def a_model_can_be_loaded_again(self, name: str) -> None:
        self.fake.unloadable.discard(name)

    @rule(name=models)
    def a_models_weights_vanish(self, name: str) -> None:
        self.fake.without_weights.add(name)

    @rule(name=models, broken=st.booleans())
    def serve_cannot_start_a_model_or_can_again(self, name: str, broken: bool) -> None:
        (self.fake.undeployable.add if broken else self.fake.undeployable.discard)(name)

    @rule(image=st.sampled_from(IMAGES))
    def the_installation_gets_an_image(self, image: str) -> None:
        self.fake.settings = replace(self.fake.settings, cpu_image=image)

    @rule(number=st.integers(0, 3))
    def a_pools_serve_falls_silent(self, number: int) -> None:
        self.fake.silent.update(sorted(self.fake.services)[number : number + 1])

    @rule()
    def every_serve_answers(self) -> None:
        self.fake.silent.clear()

    @rule(number=st.integers(0, 3))
    def somebody_deletes_a_pool(self, number: int) -> None:
        for name in sorted(self.fake.services)[number : number + 1]:
            del self.fake.services[name]
            self.fake.serve.pop(name, None)
            self.fake.ready.discard(name)

    @rule(number=st.integers(0, 3))
    def somebody_strips_a_pool(self, number: int) -> None:
        for name in sorted(self.fake.services)[number : number + 1]:
            service = self.fake.services[name]
            metadata = service["metadata"] | {"annotations": {}}
            self.fake.services[name] = service | {"metadata": metadata}

    @rule(number=st.integers(0, 3))
    def somebody_breaks_a_pools_config(self, number: int) -> None:
        for name in sorted(self.fake.services)[number : number + 1]:
            self.fake.break_config(name)

    @rule(seconds=st.sampled_from([1, 15, 40, 400]))
    def time_passes(self, seconds: int) -> None:
        self.fake.pass_time(seconds)

    @rule()
    def the_world_does_as_told(self) -> None:
        self.fake.world()

    @rule()
    def the_operator_works(self) -> None:
        before = {
            name: set() if self.fake.is_broken(name) else self.fake.models_of(name)
            for name in self.fake.services
        }
        answering = {
            (placement.status.pool, name)
            for name, placement in self.fake.placements.items()
            if is_verified(self.fake, name)
            and not placement.metadata.deletion_timestamp
            and placement.status.deployment is not None
        }
        self.fake.work()
        for name in self.fake.services.keys() - before.keys():
            assert self.fake.models_of(name) == set(), "a new pool has no models"
        for pool, name in answering:
            if pool in before and name in before[pool]:
                assert name in self.fake.models_of(pool), "what answers is not taken away"

    @rule()
    def the_operator_works_until_nothing_changes(self) -> None:
        for _ in range(6):
            self.fake.work()
        before = self.fake.writes
        self.fake.work()
        assert self.fake.writes == before, "nothing more is written where nothing changed"

    @invariant()
    def at_most_one_model_is_asked_for_each_pool(self) -> None:
        pools = [order.pool for order in self.fake.asked]
        assert len(pools) == len(set(pools))

    @invariant()
    def a_pool_has_no_more_models_than_it_may(self) -> None:
        leaving = sum(each.status.leaving is not None for each in self.fake.placements.values())
        for name in self.fake.services:
            if self.fake.is_broken(name):
                continue
            assert len(self.fake.models_of(name)) <= 2 + leaving

    def teardown(self) -> None:
        """However it went: all models answer in the end, and nothing is left of deleted ones."""
        fake = self.fake
        fake.unloadable.clear()
        fake.undeployable.clear()
        fake.without_weights.clear()
        fake.silent.clear()
        if fake.settings.cpu_image == MISSING:
            fake.settings = replace(fake.settings, cpu_image=IMAGES[0])
        fake.settle(passes=45, seconds=120)
        staying = set(fake.placements)
        assert all(is_verified(fake, name) for name in staying)
        everywhere = [name for pool in fake.services for name in fake.models_of(pool)]
        assert sorted(everywhere) == sorted(staying), "each model is in one pool"
        fake.delete(*staying)
        fake.settle(passes=4)
        assert (fake.services, fake.jobs, fake.placements, fake.claim) == ({}, {}, {}, False)


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@given(st.randoms(use_true_random=False), st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_the_order_of_what_was_gathered_changes_nothing(
    shuffle: random.Random, passes: int
) -> None:
    fake = FakeNamespace(settings=pool_settings(models_per_pool=2), unloadable={"b"})
    fake.place(*MODELS)
    fake.settle(passes=passes)
    fake.delete("c")
    sight = fake.see()

    def shuffled(items: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(shuffle.sample(items, len(items)))

    other = replace(
        sight,
        placements=shuffled(sight.placements),
        pools=shuffled(sight.pools),
        jobs=dict(shuffled(tuple(sight.jobs.items()))),
    )

    expected = decide_namespace(sight, fake.settings, fake.now)
    assert decide_namespace(sight, fake.settings, fake.now) == expected
    assert decide_namespace(other, fake.settings, fake.now) == expected
