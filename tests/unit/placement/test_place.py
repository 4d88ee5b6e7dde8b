"""Placing: the first option that the machine can run, how often, and otherwise why not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.cards import CardBuilder, architecture, catalog, gguf, safetensors
from builders.models import GIB, gpu, machine, small_model, spec
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Accelerator, Engine
from smallmodel_operator.catalog.options import ResolvedModel
from smallmodel_operator.catalog.resolve import resolve
from smallmodel_operator.catalog.sizing import VLLM_CPU_PROCESS
from smallmodel_operator.placement.machine import Machine
from smallmodel_operator.placement.place import place
from smallmodel_operator.placement.placement import Placement, Unplaced

BOTH = frozenset({Engine.LLAMA_CPP, Engine.VLLM})
MIB = 2**20
# 30 GB, 8 GB and 4.5 GB of weights: large enough to tell from everything else.
LARGE = CardBuilder(
    architecture=architecture(parameters=8_000_000_000, layers=32, kv_heads=(8,), head_dim=128),
    variants=(safetensors(), gguf("q8_0", bits=8.5), gguf("q4_k_m", bits=4.9)),
)


def resolved(fields: dict[str, object], card: CardBuilder = LARGE) -> ResolvedModel:
    result = resolve(small_model(fields), catalog(card))
    assert isinstance(result, ResolvedModel), result
    return result


def placed(fields: dict[str, object], where: Machine, card: CardBuilder = LARGE) -> Placement:
    result = place(resolved(fields, card), spec(fields), where)
    assert isinstance(result, Placement), result
    return result


def unplaced(
    fields: dict[str, object],
    where: Machine,
    card: CardBuilder = LARGE,
    alternative: str | None = None,
) -> Unplaced:
    result = place(resolved(fields, card), spec(fields), where, alternative=alternative)
    assert isinstance(result, Unplaced), result
    return result


def test_a_machine_with_a_gpu_gets_full_precision_on_it() -> None:
    where = machine(engines=BOTH, accelerators=(gpu(memory=48 * GIB),))

    placement = placed({}, where)

    assert placement.option.variant.name == "bf16"
    assert placement.accelerator == Accelerator(class_="NVIDIA-L4", count=1)
    assert placement.rejected == ()


def test_a_machine_without_one_gets_the_most_bits_that_fit() -> None:
    roomy, tight = placed({}, machine(memory=16 * GIB)), placed({}, machine(memory=8 * GIB))

    assert roomy.option.variant.name == "q8_0"
    assert tight.option.variant.name == "q4_k_m"
    assert [(r.variant, r.reason) for r in tight.rejected] == [
        ("bf16", Reason.ENGINE_NOT_INSTALLED),
        ("q8_0", Reason.MEMORY_FIT),
    ]
    assert tight.accelerator is None
    assert "q4_k_m runs with LlamaCpp on this machine" in tight.message


def test_an_installed_vllm_is_not_used_on_the_cpu_unless_it_is_asked_for() -> None:
    where = machine(memory=64 * GIB, engines=BOTH)

    by_itself, asked_for = placed({}, where), placed({"engine": "VLLM"}, where)

    assert by_itself.option.engine is Engine.LLAMA_CPP
    assert by_itself.rejected[0].reason is Reason.ACCELERATOR_MISSING
    assert asked_for.option.engine is Engine.VLLM
    assert asked_for.accelerator is None
    assert asked_for.option.size.process == VLLM_CPU_PROCESS


def test_the_smallest_device_that_is_large_enough_is_taken() -> None:
    devices = (
        gpu("H100", memory=80 * GIB),
        gpu("T4", memory=16 * GIB),
        gpu("A6000", memory=48 * GIB),
    )

    placement = placed({}, machine(engines=BOTH, accelerators=devices))

    assert placement.accelerator == Accelerator(class_="A6000", count=1)
    assert [refusal.reason for refusal in placement.rejected] == [Reason.MEMORY_FIT]
    assert "1 x T4 has 16 GiB" in placement.rejected[0].message


def test_several_devices_hold_one_replica_together_where_the_user_says_so() -> None:
    fields: dict[str, object] = {"resources": {"accelerator": {"class": "T4", "count": 2}}}
    where = machine(
        engines=BOTH,
        accelerators=(gpu("T4", count=5, memory=16 * GIB), gpu("H100", memory=80 * GIB)),
    )

    placement = placed(fields, where)

    assert placement.accelerator == Accelerator(class_="T4", count=2)
    assert placement.max_replicas == 2
    assert "2 devices each" in placement.message


@pytest.mark.parametrize(
    ("fields", "cores", "most", "threads", "why"),
    [
        ({}, 8, 1, None, "uses all 8 cores; set spec.resources.cpu"),
        ({"resources": {"cpu": "2"}}, 8, 3, 2, "spec.scaling.maxReplicas"),
        ({"resources": {"cpu": "3500m"}}, 8, 2, 3, "2 replicas of 3 threads on 8 cores"),
        ({"resources": {"cpu": "500m"}}, 2, 2, 1, "2 replicas of 1 threads on 2 cores"),
        ({"resources": {"cpu": "16"}}, 8, 1, 16, "1 replicas of 16 threads on 8 cores"),
        ({"scaling": {"minReplicas": 2}}, 8, 2, None, "2 replicas share 8 cores"),
        ({"scaling": {"maxReplicas": 1}, "resources": {"cpu": "1"}}, 8, 1, 1, "maxReplicas"),
    ],
)  # fmt: skip
def test_replicas_are_as_many_as_the_spec_the_cores_and_the_memory_have_room_for(
    fields: dict[str, object], cores: int, most: int, threads: int | None, why: str
) -> None:
    placement = placed(fields, machine(memory=64 * GIB, cores=cores), CardBuilder())

    assert placement.max_replicas == most
    assert placement.threads == threads
    assert why in placement.message


def test_memory_bounds_replicas_too() -> None:
    fields: dict[str, object] = {
        "resources": {"cpu": "1", "memory": "3Gi"}, "scaling": {"maxReplicas": 9},
    }  # fmt: skip

    placement = placed(fields, machine(memory=8 * GIB, cores=16), CardBuilder())

    assert placement.max_replicas == 2
    assert "2 replicas have room in memory" in placement.message


def test_replicas_that_are_kept_must_all_fit() -> None:
    fields: dict[str, object] = {"scaling": {"minReplicas": 3}, "resources": {"memory": "3Gi"}}

    result = unplaced(fields, machine(memory=8 * GIB), CardBuilder())

    assert result.reason is Reason.MEMORY_FIT
    assert "needs 9.0 GiB" in result.message
    assert "for minReplicas 3" in result.message
    assert "Lower spec.resources.memory, 3Gi" in result.message


def test_each_kept_replica_needs_devices_of_its_own() -> None:
    fields: dict[str, object] = {
        "scaling": {"minReplicas": 2}, "resources": {"accelerator": {"class": "NVIDIA-L4"}},
    }  # fmt: skip

    result = unplaced(fields, machine(engines=BOTH, accelerators=(gpu(memory=48 * GIB),)))

    assert result.reason is Reason.ACCELERATOR_MISSING
    assert "needs 2 x NVIDIA-L4 for minReplicas 2" in result.message
    assert "has: 1 x NVIDIA-L4" in result.message


def test_too_little_memory_says_need_have_and_another_variant_that_fits() -> None:
    result = unplaced({"variant": "q8_0"}, machine(memory=8 * GIB))

    assert result.reason is Reason.MEMORY_FIT
    assert "The variant q8_0 needs " in result.message
    assert "this machine has 8.0 GiB for models" in result.message
    assert "What fits: `variant: q4_k_m` with `contextLength: 4096`" in result.message


def test_too_little_memory_for_every_variant_says_which_context_fits() -> None:
    result = unplaced({}, machine(memory=6 * GIB), alternative="tiny-135m")

    assert "What fits: `variant: q4_k_m` with `contextLength: 2048`" in result.message
    assert result.message.endswith("Of the other models, tiny-135m fits.")
    assert [refusal.variant for refusal in result.rejected] == ["bf16", "q8_0", "q4_k_m"]


def test_too_little_memory_for_anything_of_the_card_says_so() -> None:
    result = unplaced({}, machine(memory=3 * GIB))

    assert result.message.endswith("No variant of this card fits there.")


def test_an_engine_that_is_not_installed_is_named_with_those_that_are() -> None:
    some = unplaced({"engine": "VLLM"}, machine())
    none = unplaced({"engine": "VLLM"}, machine(engines=frozenset()))

    assert some.reason is Reason.ENGINE_NOT_INSTALLED
    assert "VLLM is not installed on this machine, which has: LlamaCpp" in some.message
    assert "which has: none" in none.message


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, ["1 x any accelerator", "has: none", "engine: VLLM"]),
        ({"resources": {"accelerator": {"class": "H100"}}},
         ["1 x H100", "has: none", "spec.resources.accelerator"]),
    ],
)  # fmt: skip
def test_a_missing_accelerator_says_what_is_there_and_what_to_do(
    fields: dict[str, object], told: list[str]
) -> None:
    result = unplaced(fields, machine(engines=BOTH), CardBuilder(variants=(safetensors(),)))

    assert result.reason is Reason.ACCELERATOR_MISSING
    assert [part for part in told if part not in result.message] == []


def test_devices_that_are_too_small_are_a_matter_of_memory() -> None:
    where = machine(engines=BOTH, accelerators=(gpu(memory=4 * GIB),))

    result = unplaced(
        {}, where, CardBuilder(architecture=LARGE.architecture, variants=(safetensors(),))
    )

    assert result.reason is Reason.MEMORY_FIT
    assert "1 x NVIDIA-L4 has 4.0 GiB for models" in result.message


machines = st.builds(
    machine,
    memory=st.integers(0, 64 * GIB),
    cores=st.integers(1, 64),
    engines=st.frozensets(st.sampled_from([Engine.LLAMA_CPP, Engine.VLLM])),
    accelerators=st.lists(
        st.builds(
            gpu,
            st.sampled_from(["T4", "H100"]),
            count=st.integers(1, 4),
            memory=st.integers(0, 96 * GIB),
        ),
        max_size=2,
        unique_by=lambda stock: stock.product,
    ).map(tuple),
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "engine": st.sampled_from(["Auto", "VLLM", "LlamaCpp"]),
        "contextLength": st.integers(128, 8192),
        "scaling": st.sampled_from([{}, {"minReplicas": 2}, {"maxReplicas": 8}]),
        "resources": st.sampled_from([{}, {"cpu": "2"}, {"memory": "5Gi"}]),
    },
)


@given(fields=requests, where=machines, more=st.integers(0, 64 * GIB))
def test_more_memory_never_makes_a_fitting_model_unfit(
    fields: dict[str, object], where: Machine, more: int
) -> None:
    larger = machine(
        memory=where.memory_bytes + more,
        cores=where.cpu_cores,
        engines=where.engines,
        accelerators=tuple(
            gpu(stock.product, count=stock.count, memory=(stock.memory_bytes or 0) + more)
            for stock in where.accelerators
        ),
    )
    model = resolved(fields)

    before, after = (place(model, spec(fields), there) for there in (where, larger))

    assert isinstance(after, Placement) or isinstance(before, Unplaced)


@given(fields=requests, where=machines)
def test_an_answer_repeats_itself_and_always_has_a_reason(
    fields: dict[str, object], where: Machine
) -> None:
    model = resolved(fields)

    answer = place(model, spec(fields), where)

    assert answer == place(model, spec(fields), where)
    assert answer.message
    assert all(refusal.message for refusal in answer.rejected)
    if isinstance(answer, Placement):
        scaling = spec(fields).scaling
        assert max(1, scaling.min_replicas) <= answer.max_replicas <= scaling.max_replicas
        assert answer.option.engine in where.engines
    else:
        assert answer.reason in {refusal.reason for refusal in answer.rejected}


@pytest.mark.parametrize(
    "fields",
    [{"data": [{"name": "records"}]}, {"placement": {"tiers": ["Edge"]}}],
    ids=["a law", "bounds"],
)
def test_a_machine_of_which_nothing_is_declared_honours_no(fields: dict[str, object]) -> None:
    refused = unplaced(fields, machine(memory=64 * GIB))

    assert refused.reason is Reason.NOT_SELECTED
    assert "spec.data and spec.placement cannot be honoured" in refused.message
