"""A choice is pinned whole, and read back as it was."""

import dataclasses
import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from builders import cards, clusters, plan_values
from builders.fake_api_server import fake_admit
from builders.placements import model_placement, placement_spec
from smallmodel_operator.api import crd
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelplacement import (
    ModelPlacement,
    ModelPlacementSpec,
    PinnedWeights,
    PlacementResidency,
    WorkerClass,
)
from smallmodel_operator.api.names import (
    ANNOTATION_DECIDED_AT,
    ANNOTATION_LEAVING_SINCE,
    ANNOTATION_STANDS_IN_FOR,
)
from smallmodel_operator.api.serving import LlamaCppArgs, ModelTuning, VllmArgs
from smallmodel_operator.api.smallmodel import (
    Accelerator,
    Engine,
    Isolation,
    Scaling,
    SecretRef,
    SmallModel,
    SmallModelSpec,
)
from smallmodel_operator.catalog.rules import DEFAULT_SECRET
from smallmodel_operator.placement.choice.wish import Law
from smallmodel_operator.plan.build import arguments_hash, build_model, serving_hash
from smallmodel_operator.plan.placements import (
    build_placement,
    is_intact,
    placement_manifest,
    planned_model,
    spec_hash,
    with_laws,
)

SCHEMA = crd.structural_schema(ModelPlacement)


def small_model(fields: dict[str, Any] | None = None, **metadata: Any) -> SmallModel:
    given = {"model": "little-1b"} if "source" not in (fields or {}) else {}
    return SmallModel(
        metadata=ObjectMeta(
            **{"name": "chat", "namespace": "team", "generation": 7, "uid": "1"} | metadata
        ),
        spec=SmallModelSpec.model_validate(given | (fields or {})),
    )


def built(
    fields: dict[str, Any] | None = None,
    *,
    card: cards.CardBuilder | None = None,
    **metadata: Any,
) -> ModelPlacement:
    placed = clusters.placed(clusters.view(), fields, card)
    resolved = clusters.resolved(fields or {}, card)
    return build_placement(
        small_model(fields, **metadata), resolved, placed, hub_id="hub", cluster="local"
    )


def test_everything_that_was_decided_is_in_the_spec() -> None:
    card = cards.CardBuilder(variants=(cards.gguf(size=99, sha256=plan_values.SHA256),))
    spec = built({"resources": {"cpu": 3}, "scaling": {"maxReplicas": 9}}, card=card).spec

    assert (spec.hub_id, spec.cluster) == ("hub", "local")
    assert (spec.model.namespace, spec.model.name, spec.model.generation) == ("team", "chat", 7)
    assert (spec.engine, spec.variant) == (Engine.LLAMA_CPP, "q4_k_m")
    assert spec.weights == PinnedWeights(
        uri="hf://org/repo-GGUF/q4_k_m.gguf", sha256=plan_values.SHA256, bytes=99
    )
    assert (spec.worker.name, spec.worker.cpu, spec.max_replicas) == ("cpu-4gi-3c", "3", 3)
    assert isinstance(spec.args.engine, LlamaCppArgs)
    assert (spec.args.weights, spec.args.engine.threads) == ("", 3)
    assert "q4_k_m" in spec.message


def test_the_object_is_named_and_labelled_as_ours() -> None:
    metadata = built().metadata

    assert metadata.namespace == "slm-cluster-local"
    assert metadata.name.startswith("team-chat-")
    assert metadata.finalizers == ("smallmodel.dev/placement",)
    assert metadata.labels == {
        "app.kubernetes.io/managed-by": "smallmodel-operator",
        "smallmodel.dev/hub": "hub",
        "smallmodel.dev/model": "chat",
        "smallmodel.dev/worker-class": "cpu-4gi",
    }


def test_the_annotation_that_was_acted_on_is_remembered() -> None:
    assert built(annotations={"smallmodel.dev/re-resolve": "2"}).spec.re_resolve == "2"
    assert built().spec.re_resolve is None


SECRETS: dict[str, tuple[dict[str, Any], cards.CardBuilder, SecretRef | None]] = {
    "an open card": ({}, cards.CardBuilder(), None),
    "an open card that names a secret": ({}, cards.CardBuilder(secret="mine"), None),
    "a source with a secret": (
        {
            "source": {"uri": "hf://a/b.gguf", "secretRef": {"name": "mine"}},
            "resources": {"memory": "1Gi"},
        },
        cards.CardBuilder(),
        SecretRef(name="mine"),
    ),
    "a source without one": (
        {"source": {"uri": "hf://a/b.gguf"}, "resources": {"memory": "1Gi"}},
        cards.CardBuilder(license=cards.GATED),
        None,
    ),
}


@pytest.mark.parametrize(("fields", "card", "secret"), SECRETS.values(), ids=SECRETS)
def test_only_a_secret_that_opens_the_weights_is_pinned(
    fields: dict[str, Any], card: cards.CardBuilder, secret: SecretRef | None
) -> None:
    assert built(fields, card=card).spec.weights.secret_ref == secret


@pytest.mark.parametrize(("named", "expected"), [("mine", "mine"), (None, DEFAULT_SECRET)])
def test_a_gated_card_is_opened_by_its_secret(named: str | None, expected: str) -> None:
    card = cards.CardBuilder(license=cards.GATED, secret=named)
    resolved = dataclasses.replace(clusters.resolved({}), card=card.build())
    placed = clusters.placed(clusters.view())

    made = build_placement(small_model(), resolved, placed, hub_id="hub", cluster="local")

    assert made.spec.weights.secret_ref == SecretRef(name=expected)


def test_a_long_explanation_is_cut_to_what_the_field_holds() -> None:
    placed = clusters.placed(clusters.view())
    wordy = dataclasses.replace(
        placed, placement=dataclasses.replace(placed.placement, message="a" * 3000)
    )

    made = build_placement(
        small_model(), clusters.resolved({}), wordy, hub_id="hub", cluster="local"
    )

    assert len(made.spec.message) == 1024
    assert made.spec.message.endswith("a…")


def test_the_pinned_model_is_the_one_that_one_machine_would_serve() -> None:
    """Both modes render arguments in one place; only the way there differs."""
    fields: dict[str, Any] = {"scaling": {"minReplicas": 1}, "contextLength": 512}
    model, resolved = small_model(fields), clusters.resolved(fields)
    placed = clusters.placed(clusters.view(), fields)
    weights = plan_values.fetched()

    pinned = build_placement(model, resolved, placed, hub_id="hub", cluster="local")

    assert planned_model(pinned.spec, weights, verified=False) == build_model(
        model, resolved, placed.placement, weights
    )


def test_without_weights_the_path_stays_empty() -> None:
    planned = planned_model(placement_spec(), None, verified=True)

    assert planned.args.weights == ""
    assert planned.verified


def test_the_serving_hash_of_a_pin_with_a_digest_needs_no_weights() -> None:
    spec = placement_spec()
    planned = planned_model(spec, plan_values.fetched(path="/anywhere"), verified=False)

    assert serving_hash(planned) == arguments_hash(spec.args)


def test_a_digest_that_only_fetching_found_is_checked_at_load_too() -> None:
    spec = placement_spec(args=plan_values.model_args(weights="", sha256=None))

    planned = planned_model(spec, plan_values.fetched(), verified=False)

    assert planned.args.sha256 == plan_values.SHA256


names = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=40)
counts = st.integers(1, 2**40)
llama_cpp = st.builds(
    LlamaCppArgs,
    contextLength=counts,
    slots=counts,
    threads=st.none() | counts,
    options=st.dictionaries(names, texts, max_size=3),
)
vllm = st.builds(
    VllmArgs,
    arguments=st.lists(texts, max_size=3).map(tuple),
    environment=st.dictionaries(names, texts, max_size=3),
)
accelerators = st.none() | st.builds(
    lambda product, count: Accelerator(class_=product, count=count), names, st.integers(1, 16)
)
workers = st.builds(
    WorkerClass,
    name=names,
    cpu=st.sampled_from(["2", "500m", "0.5"]),
    memory=st.sampled_from(["2Gi", "512Mi"]),
    accelerator=accelerators,
    max_workers=st.integers(1, 50),
)
specs = st.builds(
    placement_spec,
    name=names,
    re_resolve=st.none() | texts,
    engine=st.sampled_from([Engine.LLAMA_CPP, Engine.VLLM]),
    weights=st.builds(
        PinnedWeights,
        uri=texts,
        revision=st.none() | texts,
        sha256=st.sampled_from([None, plan_values.SHA256]),
        bytes=st.none() | counts,
        secret_ref=st.none() | st.builds(SecretRef, name=names),
    ),
    worker=workers,
    device_percent=st.none() | st.integers(1, 100),
    isolation=st.sampled_from(Isolation),
    args=st.builds(
        plan_values.model_args,
        engine=llama_cpp | vllm,
        sha256=st.sampled_from([None, plan_values.SHA256]),
    ),
    tuning=st.builds(
        ModelTuning,
        keep_awake=st.booleans(),
        idleTimeoutSeconds=st.floats(0, 1e6),
        startTimeoutSeconds=st.integers(0, 10**6).map(float),
    ),
    scaling=st.builds(
        Scaling,
        min_replicas=st.integers(0, 3),
        target_ongoing_requests=st.none() | st.integers(1, 10_000),
    ),
    message=texts,
)


def as_an_api_server_writes(value: Any) -> Any:
    """Go writes a number without a fraction as a whole one, and sorts keys."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: as_an_api_server_writes(value[key]) for key in sorted(value)}
    return [as_an_api_server_writes(child) for child in value] if isinstance(value, list) else value


@given(specs)
def test_the_object_comes_back_from_an_api_server_as_it_went(spec: ModelPlacementSpec) -> None:
    spec = spec.model_copy(update={"spec_hash": spec_hash(spec)})
    manifest = placement_manifest(ModelPlacement(metadata=ObjectMeta(name="a"), spec=spec))

    assert fake_admit(SCHEMA, manifest) == []
    stored = json.loads(json.dumps(as_an_api_server_writes(yaml.safe_load(yaml.dump(manifest)))))
    back = ModelPlacement.model_validate(stored)

    assert back.spec == spec
    assert is_intact(back.spec)
    assert "status" not in manifest


def paths(values: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The places of all values in an object."""
    if not isinstance(values, dict):
        return [path]
    return [place for key, child in values.items() for place in paths(child, (*path, key))]


FULL = placement_spec(
    re_resolve="1",
    weights=PinnedWeights(
        uri="a", revision="b", sha256="ab" * 32, bytes=1, secret_ref=SecretRef(name="c")
    ),
    worker=WorkerClass(
        name="a", cpu="1", memory="1Gi", accelerator=Accelerator(class_="a", count=2), max_workers=2
    ),
    device_percent=7,
    scaling=Scaling(
        min_replicas=1, max_replicas=2, target_ongoing_requests=5, idle_timeout="1m",
        park_after="2h", start_timeout="5s", max_queued_requests=7, request_timeout="9s",
    ),
    isolation=Isolation.DEDICATED,
)  # fmt: skip
ONLY_ONE_VALUE = ("kind",)
FULL_VALUES = FULL.model_dump(mode="json", exclude_none=True)


@pytest.mark.parametrize(
    "path",
    [path for path in paths(FULL_VALUES) if path[-1] not in ("specHash", *ONLY_ONE_VALUE)],
    ids=".".join,
)
def test_a_field_that_gets_lost_or_changed_is_noticed(path: tuple[str, ...]) -> None:
    values = json.loads(json.dumps(FULL_VALUES | {"specHash": spec_hash(FULL)}))
    assert is_intact(ModelPlacementSpec.model_validate(values))
    parent = values
    for key in path[:-1]:
        parent = parent[key]
    changed = {
        "isolation": "Shared", "contract": 99, "engine": "VLLM", "keepAwake": True,
        "idleTimeout": "2m", "parkAfter": "3h", "startTimeout": "6s", "requestTimeout": "8s",
        "task": "Embedding", "sha256": "cd" * 32, "cpu": "7", "memory": "7Gi",
        "name": "other", "options": {"a": "b"}, "namespace": "other",
    }  # fmt: skip
    value = parent[path[-1]]
    other = value + 1 if isinstance(value, int | float) else f"{value}x"
    parent[path[-1]] = changed.get(path[-1], other)
    assert not is_intact(ModelPlacementSpec.model_validate(values))


def test_the_hash_is_the_one_that_earlier_versions_wrote() -> None:
    """Fails where a default was changed or a value is written otherwise: old pins would be lost."""
    assert spec_hash(placement_spec()) == "ebd02a82e789c98d"


def law(*countries: str, required: bool = True) -> Law:
    return Law(source="records", jurisdictions=frozenset(countries), required=required)


LAWS: dict[str, tuple[tuple[Law, ...], tuple[str, ...] | None]] = {
    "no law": ((), None),
    "a law": ((law("FR", "DE"),), ("DE", "FR")),
    "two laws": ((law("FR", "DE"), law("DE", "CH")), ("DE",)),
    "a wish is no law": ((law("FR", required=False),), None),
    "a wish beside a law": ((law("FR", required=False), law("DE")), ("DE",)),
}


@pytest.mark.parametrize("case", LAWS)
def test_the_laws_of_the_data_are_in_the_spec_together(case: str) -> None:
    laws, expected = LAWS[case]
    placed, resolved = clusters.placed(clusters.view()), clusters.resolved({})
    made = build_placement(
        small_model(), resolved, placed, hub_id="hub", cluster="local", laws=laws
    )
    assert (made.spec.residency.jurisdictions if made.spec.residency else None) == expected
    assert is_intact(made.spec)


def test_a_pinned_placement_learns_a_new_law_and_forgets_an_old_one() -> None:
    before = built()
    bound = with_laws(before, [law("DE", "FR")], "DE")
    assert bound is not None
    assert bound.spec.residency == PlacementResidency(jurisdictions=("DE", "FR"))
    assert is_intact(bound.spec)
    assert with_laws(bound, [law("DE", "FR")], "DE") is None
    free = with_laws(bound, [], "DE")
    assert free is not None
    assert free.spec == before.spec


@pytest.mark.parametrize("jurisdiction", ["US", None])
@pytest.mark.parametrize("laws", [[law("DE")], [law("DE"), law("FR")]])
def test_a_law_that_forbids_the_cluster_is_not_told_to_it(
    laws: list[Law], jurisdiction: str | None
) -> None:
    assert with_laws(built(), laws, jurisdiction) is None


def test_all_that_the_operator_notes_on_a_placement_is_applied_with_it() -> None:
    ours = {
        ANNOTATION_DECIDED_AT: "1",
        ANNOTATION_LEAVING_SINCE: "2",
        ANNOTATION_STANDS_IN_FOR: "3",
    }
    placement = model_placement()
    metadata = placement.metadata.model_copy(
        update={"annotations": {**ours, "somebody.example/else": "x"}}
    )
    applied = placement_manifest(placement.model_copy(update={"metadata": metadata}))
    assert applied["metadata"]["annotations"] == ours
