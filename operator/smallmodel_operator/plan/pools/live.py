"""A pool read back from its live RayService."""

from pydantic import ValidationError

from smallmodel_operator.api.modelplacement import ModelPlacement, WorkerClass
from smallmodel_operator.api.names import ANNOTATION_COMPACT, ANNOTATION_CONTRACT
from smallmodel_operator.api.smallmodel import Isolation
from smallmodel_operator.plan.pools.claims import source_claim
from smallmodel_operator.plan.pools.names import template_of
from smallmodel_operator.plan.pools.rayservice import models_in
from smallmodel_operator.plan.pools.values import (
    ANNOTATION_CLAIM,
    ANNOTATION_WORKER,
    LABEL_DEDICATED,
    LivePool,
    Manifest,
    PoolError,
    PoolKey,
)
from smallmodel_operator.plan.pools.weights import fetches_itself


def pool_key(placement: ModelPlacement) -> PoolKey:
    """Return what the model needs of a pool."""
    spec = placement.spec
    dedicated = spec.isolation is Isolation.DEDICATED
    return PoolKey(
        namespace=spec.model.namespace,
        worker=spec.worker,
        dedicated_to=spec.model.name if dedicated else None,
        claim=source_claim(spec.weights.uri),
    )


def uses_store(manifest: Manifest) -> bool:
    """Return whether a RayService keeps the state of its head in a store, which KubeRay clears."""
    spec = manifest.get("spec") or {}
    return "gcsFaultToleranceOptions" in (spec.get("rayClusterConfig") or {})


def read_pool(manifest: Manifest) -> LivePool:
    """Return the pool of a RayService that this operator made.

    Raises:
        PoolError: Its labels, annotations or config were changed by somebody else.
    """
    metadata = manifest["metadata"]
    labels = metadata.get("labels") or {}
    annotations = metadata.get("annotations") or {}
    try:
        worker = WorkerClass.model_validate_json(annotations[ANNOTATION_WORKER])
        contract = int(annotations[ANNOTATION_CONTRACT])
    except (KeyError, ValueError, ValidationError) as error:
        raise PoolError(
            f"RayService {metadata.get('namespace')}/{metadata['name']} lacks what this operator "
            f"writes on a pool ({error!r}); remove it if nothing is served by it"
        ) from error
    return LivePool(
        name=metadata["name"],
        key=PoolKey(
            namespace=metadata["namespace"],
            worker=worker,
            dedicated_to=labels.get(LABEL_DEDICATED),
            claim=annotations.get(ANNOTATION_CLAIM),
        ),
        template_hash=template_of(metadata["name"]),
        models=models_in(manifest),
        contract=contract,
        fetches=fetches_itself(manifest),
        deleting=bool(metadata.get("deletionTimestamp")),
        wish=annotations.get(ANNOTATION_COMPACT),
    )
