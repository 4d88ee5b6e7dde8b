"""The RayService of a pool: its immutable template, and the Serve config of all of its models."""

import json
from copy import deepcopy
from typing import Final

from smallmodel_operator.api.names import (
    ANNOTATION_CONTRACT,
    INDEX_APPLICATION,
    LABEL_POOL,
    LABEL_WORKER_CLASS,
)
from smallmodel_operator.plan.pool import Pool
from smallmodel_operator.plan.pools.names import owned_labels, template_of
from smallmodel_operator.plan.pools.template import build_template, template_hash
from smallmodel_operator.plan.pools.values import (
    ANNOTATION_CLAIM,
    ANNOTATION_WORKER,
    COMPONENT_POOL,
    LABEL_COMPONENT,
    LABEL_DEDICATED,
    LABEL_TEMPLATE,
    SERVE_PORT,
    ClusterPool,
    KeptApplication,
    Manifest,
    PoolError,
    PoolSettings,
)
from smallmodel_operator.plan.serve import (
    ServeConfig,
    ServeFront,
    build_serve_config,
    dump_serve_config,
)

RAY_API_VERSION: Final = "ray.io/v1"


def build_ray_service(
    pool: ClusterPool, settings: PoolSettings, live: Manifest | None = None
) -> Manifest:
    """Return the RayService with the applications of all models of the pool.

    Args:
        pool: The pool, with all of its models.
        settings: The installation's choices.
        live: The RayService as it is, where there is one. If it was made from another template
            than today's, it keeps that: a template is never rendered into an older pool.

    Raises:
        PoolError: No pod can be made of the worker class, a model is given twice, or a model's
            arguments are rendered in another contract than the pool's.
    """
    built = _build(pool, settings)
    current = template_hash(pool.key, settings)
    if live is not None and template_of(pool.name) != current:
        built["metadata"]["labels"][LABEL_TEMPLATE] = template_of(pool.name)
        built["spec"]["rayClusterConfig"] = deepcopy(live["spec"]["rayClusterConfig"])
    return built


def worker_bounds_patch(pool: ClusterPool, ray_cluster: Manifest) -> Manifest | None:
    """Return the merge patch that gives a live RayCluster the pool's most workers, if it differs.

    KubeRay does not hand on what changes of `minReplicas` and `maxReplicas` in a RayService. The
    patch holds the whole list, and the version that it was computed from, because the autoscaler
    writes to the same list.
    """
    groups = ray_cluster["spec"].get("workerGroupSpecs") or []
    bounds = {"minReplicas": 0, "maxReplicas": pool.key.worker.max_workers}
    if all(bounds.items() <= group.items() for group in groups):
        return None
    return {
        "metadata": {"resourceVersion": ray_cluster["metadata"]["resourceVersion"]},
        "spec": {"workerGroupSpecs": [group | bounds for group in groups]},
    }


def _build(pool: ClusterPool, settings: PoolSettings) -> Manifest:
    labels = owned_labels(settings) | {
        LABEL_COMPONENT: COMPONENT_POOL,
        LABEL_POOL: pool.name,
        LABEL_TEMPLATE: template_hash(pool.key, settings),
        LABEL_WORKER_CLASS: pool.key.worker.name,
    }
    if pool.key.dedicated_to:
        labels[LABEL_DEDICATED] = pool.key.dedicated_to
    worker = pool.key.worker.model_dump(mode="json", exclude_none=True)
    annotations = {ANNOTATION_CONTRACT: str(pool.contract), ANNOTATION_WORKER: _compact(worker)}
    if pool.key.claim:
        annotations[ANNOTATION_CLAIM] = pool.key.claim
    return {
        "apiVersion": RAY_API_VERSION,
        "kind": "RayService",
        "metadata": {
            "name": pool.name,
            "namespace": pool.key.namespace,
            "labels": labels,
            "annotations": annotations,
        },
        "spec": {
            # A changed template makes another pool, and never a second Ray cluster in this one.
            "upgradeStrategy": {"type": "None"},
            "serveConfigV2": serve_config_of(pool, settings),
            "rayClusterConfig": build_template(pool.key, pool.name, settings),
        },
    }


def serve_config_of(pool: ClusterPool, settings: PoolSettings) -> str:
    """Return the pool's Serve config as one line: the same models are the same text.

    Raises:
        PoolError: A model is given twice, or its arguments are rendered in another contract than
            the pool's.
    """
    names = [*(each.name for each in pool.models), *(each.name for each in pool.kept)]
    if len(names) != len(set(names)):
        raise PoolError(
            f"pool {pool.name!r} was given {', '.join(sorted(names))}: one of them twice, and a "
            "model has one application"
        )
    for model in pool.models:
        if model.args.contract != pool.contract:
            raise PoolError(
                f"model {model.name!r} has arguments of contract {model.args.contract}, and pool "
                f"{pool.name!r} reads contract {pool.contract}; it needs a pool of its contract"
            )
    front = ServeFront(
        host="0.0.0.0",  # noqa: S104 - the pod's own address; the NetworkPolicy is the fence
        port=SERVE_PORT,
        timeouts=settings.timeouts,
        replicas_per_node=1,
    )
    config = build_serve_config(Pool(models=pool.models), front)
    if not pool.kept:
        return dump_serve_config(config)
    return _with_kept(config, pool.kept)


def applications_in(manifest: Manifest) -> tuple[KeptApplication, ...]:
    """Return the models' applications in a live RayService, by name.

    Raises:
        PoolError: The config is not JSON of ours: somebody else wrote it.
    """
    applications = _applications(manifest)
    return tuple(
        KeptApplication(name=name, text=_compact(applications[name]))
        for name in sorted(applications)
        if name != INDEX_APPLICATION
    )


def models_in(manifest: Manifest) -> frozenset[str]:
    """Return the names of the models in a live RayService's config.

    Raises:
        PoolError: The config is not JSON of ours: somebody else wrote it.
    """
    return frozenset(_applications(manifest)) - {INDEX_APPLICATION}


def _with_kept(config: ServeConfig, kept: tuple[KeptApplication, ...]) -> str:
    values = json.loads(dump_serve_config(config))
    applications = {each["name"]: each for each in values["applications"]}
    index = applications.pop(INDEX_APPLICATION)
    for each in kept:
        applications[each.name] = json.loads(each.text)
    ordered = [applications[name] for name in sorted(applications)]
    index["deployments"][0]["user_config"]["models"] = [
        {
            "name": each["name"],
            "startTimeoutSeconds": each["deployments"][0]["user_config"]["startTimeoutSeconds"],
        }
        for each in ordered
    ]
    return _compact(values | {"applications": [index, *ordered]})


def _applications(manifest: Manifest) -> dict[str, Manifest]:
    text = manifest.get("spec", {}).get("serveConfigV2") or '{"applications":[]}'
    try:
        return {each["name"]: each for each in json.loads(text)["applications"]}
    except (ValueError, KeyError, TypeError) as error:
        name = manifest.get("metadata", {}).get("name")
        raise PoolError(
            f"the serveConfigV2 of RayService {name!r} is not what this operator writes ({error}); "
            "it is written anew from the models of the pool"
        ) from error


def _compact(values: Manifest) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"))
