"""A choice becomes a ModelPlacement, and a ModelPlacement becomes a model of a pool.

The choice is pinned: what it was made from may change afterwards, and the placement does not.
"""

import json
from collections.abc import Sequence
from typing import Final

from smallmodel_operator.api.fetch import FetchDone
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelplacement import (
    ModelPlacement,
    ModelPlacementSpec,
    ModelReference,
    PinnedWeights,
    PlacementResidency,
)
from smallmodel_operator.api.names import (
    ANNOTATION_DECIDED_AT,
    ANNOTATION_LEAVING_SINCE,
    ANNOTATION_RE_RESOLVE,
    ANNOTATION_STANDS_IN_FOR,
    FINALIZER,
    LABEL_HUB,
    LABEL_MANAGED_BY,
    LABEL_MODEL,
    LABEL_WORKER_CLASS,
    MANAGER,
    placement_name,
    placement_namespace,
    short_hash,
)
from smallmodel_operator.api.smallmodel import SecretRef, SmallModel, Source
from smallmodel_operator.catalog.options import Option, ResolvedModel
from smallmodel_operator.catalog.rules import gate_secret
from smallmodel_operator.placement.choice.wish import Law
from smallmodel_operator.placement.cluster import ClusterPlacement
from smallmodel_operator.plan.build import build_model
from smallmodel_operator.plan.pool import PlannedModel
from smallmodel_operator.plan.pools.values import Manifest

_OURS: Final = (ANNOTATION_DECIDED_AT, ANNOTATION_LEAVING_SINCE, ANNOTATION_STANDS_IN_FOR)
_HASH_DIGITS: Final = 16
_MESSAGE_MAX: Final = 1024
_NOT_FETCHED: Final = FetchDone(path="", bytes=0, sha256=None)


def build_placement(
    model: SmallModel,
    resolved: ResolvedModel,
    placed: ClusterPlacement,
    *,
    hub_id: str,
    cluster: str,
    laws: Sequence[Law] = (),
) -> ModelPlacement:
    """Return the placement of a SmallModel, with every argument rendered and nothing left open.

    Args:
        model: What the user asks for.
        resolved: Its card and options.
        placed: The option that was chosen, and the workers that run it.
        hub_id: Names this installation.
        cluster: The ModelCluster.
        laws: Those of the model's data.
    """
    planned = build_model(model, resolved, placed.placement, _NOT_FETCHED)
    option = placed.placement.option
    open_spec = ModelPlacementSpec(
        hub_id=hub_id,
        cluster=cluster,
        model=ModelReference(
            namespace=model.metadata.namespace,
            name=model.metadata.name,
            generation=model.metadata.generation,
        ),
        residency=_residency(laws),
        re_resolve=model.metadata.annotations.get(ANNOTATION_RE_RESOLVE),
        engine=option.engine,
        variant=option.variant.name,
        weights=_weights(model, resolved, option),
        worker=placed.worker,
        device_percent=planned.device_percent,
        isolation=model.spec.isolation,
        args=planned.args,
        tuning=planned.tuning,
        scaling=planned.scaling,
        max_replicas=planned.max_replicas,
        max_ongoing_requests=planned.max_ongoing_requests,
        target_ongoing_requests=planned.target_ongoing_requests,
        resting_memory_bytes=planned.resting_memory_bytes,
        message=_bounded(placed.placement.message),
    )
    spec = _hashed(open_spec)
    return ModelPlacement(metadata=_metadata(model, spec), spec=spec)


def with_laws(
    placement: ModelPlacement, laws: Sequence[Law], jurisdiction: str | None
) -> ModelPlacement | None:
    """Return a placement that says today's laws; None where it does.

    What a law forbids is ended by whoever decides, and not told so: the cluster that serves it
    would end it at once, and it may have been given time.

    Args:
        placement: One that is pinned.
        laws: Those of the model's data.
        jurisdiction: The cluster's.
    """
    allowed = _allowed(laws)
    if allowed is not None and jurisdiction not in allowed:
        return None
    residency = _residency(laws)
    if residency == placement.spec.residency:
        return None
    spec = _hashed(placement.spec.model_copy(update={"residency": residency}))
    return placement.model_copy(update={"spec": spec})


def _allowed(laws: Sequence[Law]) -> frozenset[str] | None:
    """Return the countries that all laws allow together; None: all."""
    required = [law.jurisdictions for law in laws if law.required]
    return frozenset.intersection(*required) if required else None


def _residency(laws: Sequence[Law]) -> PlacementResidency | None:
    allowed = _allowed(laws)
    return PlacementResidency(jurisdictions=tuple(sorted(allowed))) if allowed is not None else None


def _hashed(spec: ModelPlacementSpec) -> ModelPlacementSpec:
    return spec.model_copy(update={"spec_hash": spec_hash(spec)})


def planned_model(
    spec: ModelPlacementSpec, weights: FetchDone | None, *, verified: bool
) -> PlannedModel:
    """Return the model as its pool serves it.

    Args:
        spec: What was pinned.
        weights: The verified file or folder; None leaves its path empty.
        verified: Whether it answered before.
    """
    args = spec.args
    if weights is not None:
        found = {"weights": weights.path, "sha256": weights.sha256 or args.sha256}
        args = args.model_copy(update=found)
    return PlannedModel(
        name=spec.model.name,
        args=args,
        tuning=spec.tuning,
        scaling=spec.scaling,
        max_replicas=spec.max_replicas,
        max_ongoing_requests=spec.max_ongoing_requests,
        target_ongoing_requests=spec.target_ongoing_requests,
        resting_memory_bytes=spec.resting_memory_bytes,
        accelerator=spec.worker.accelerator,
        device_percent=spec.device_percent,
        verified=verified,
    )


def spec_hash(spec: ModelPlacementSpec) -> str:
    """Return what changes whenever anything of the spec does, the hash itself aside.

    Fields that have their default are left out, so that a field that a later version adds does not
    change the hashes of what is there already.
    """
    values = spec.model_dump(mode="json", exclude={"spec_hash"}, exclude_defaults=True)
    values["contract"] = spec.contract
    return short_hash(json.dumps(values, sort_keys=True), _HASH_DIGITS)


def is_intact(spec: ModelPlacementSpec) -> bool:
    """Return whether everything arrived that was written; an older CRD prunes what it lacks."""
    return spec.spec_hash == spec_hash(spec)


def placement_manifest(placement: ModelPlacement) -> Manifest:
    """Return the object as it is applied: without a status, which others write."""
    metadata = placement.metadata
    ours = {name: metadata.annotations[name] for name in _OURS if name in metadata.annotations}
    return {
        "apiVersion": placement.api_version,
        "kind": placement.kind,
        "metadata": {
            "name": metadata.name,
            "namespace": metadata.namespace,
            "labels": dict(sorted(metadata.labels.items())),
            **({"annotations": ours} if ours else {}),
            "finalizers": list(metadata.finalizers),
        },
        "spec": placement.spec.model_dump(mode="json", exclude_none=True),
    }


def _metadata(model: SmallModel, spec: ModelPlacementSpec) -> ObjectMeta:
    return ObjectMeta(
        name=placement_name(model.metadata.namespace, model.metadata.name),
        namespace=placement_namespace(spec.cluster),
        labels={
            LABEL_HUB: spec.hub_id,
            LABEL_MANAGED_BY: MANAGER,
            LABEL_MODEL: model.metadata.name,
            LABEL_WORKER_CLASS: spec.worker.name,
        },
        finalizers=(FINALIZER,),
    )


def source_weights(source: Source) -> PinnedWeights:
    """Return what is fetched of weights that a user named directly."""
    return PinnedWeights(
        uri=source.uri,
        revision=source.revision,
        sha256=source.sha256,
        secret_ref=source.secret_ref,
    )


def _weights(model: SmallModel, resolved: ResolvedModel, option: Option) -> PinnedWeights:
    if model.spec.source is not None:
        # Exactly what was fetched to make the card of, so that nothing is fetched twice. The digest
        # that was found is pinned in the arguments.
        return source_weights(model.spec.source)
    variant = option.variant
    return PinnedWeights(
        uri=variant.uri,
        revision=variant.revision,
        sha256=variant.sha256,
        bytes=variant.bytes,
        secret_ref=_secret(resolved),
    )


def _secret(resolved: ResolvedModel) -> SecretRef | None:
    """Return the Secret that opens a gated card's weights."""
    if resolved.card.spec.license.gated:
        return SecretRef(name=gate_secret(resolved.card))
    return None


def _bounded(message: str) -> str:
    return message if len(message) <= _MESSAGE_MAX else message[: _MESSAGE_MAX - 1] + "…"
