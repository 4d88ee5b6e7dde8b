"""Writing what is ours, and only what differs."""

import asyncio
import json
import time
from collections.abc import Iterable
from typing import Final

from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.names import ANNOTATION_COMPACT, FINALIZER, short_hash
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.compare import is_applied, stamp
from smallmodel_operator.clusters.guard import (
    Overwriting,
    apply_owned,
    check_owned,
    delete_owned,
    tell_nobody,
)
from smallmodel_operator.clusters.ref import (
    CLAIMS,
    JOBS,
    NETWORKPOLICIES,
    RAYCLUSTERS,
    RAYSERVICES,
    SECRETS,
    Ref,
    Resource,
    ref_of,
)
from smallmodel_operator.plan.pools.live import uses_store
from smallmodel_operator.plan.pools.names import template_hash, template_of, token_secret_name
from smallmodel_operator.plan.pools.objects import (
    FETCH_POLICY,
    build_namespace_objects,
    build_pool_objects,
    pool_token,
    token_secret,
)
from smallmodel_operator.plan.pools.rayservice import build_ray_service, worker_bounds_patch
from smallmodel_operator.plan.pools.values import (
    TOKEN_KEY,
    ClusterPool,
    Manifest,
    PoolSettings,
)

_CHECK_SECONDS: Final = 60.0
"""How long an object that was seen to be as it should is believed to stay so."""


class Writer:
    """All writes of pools and of what belongs to them."""

    def __init__(
        self,
        api: Api,
        settings: PoolSettings,
        token_key: str = "",
        overwriting: Overwriting = tell_nobody,
    ) -> None:
        """Make it.

        Args:
            api: The serving cluster's.
            settings: The installation's choices.
            token_key: What tokens of pools are made from; who writes no pools needs none.
            overwriting: Called before an object is written over.
        """
        self._api = api
        self._settings = settings
        self._token_key = token_key
        self._overwriting = overwriting
        self._checked: dict[Ref, tuple[str, float]] = {}
        self._written: dict[Ref, tuple[ClusterPool, str, float]] = {}
        """Pools as planned, the version of their RayServices that is so, and when that was seen."""

    async def namespace(self, namespace: str) -> None:
        """Have the claim for weights and the fence of fetch Jobs there.

        Raises:
            ApiError: It could not be done; `NameConflict` where one of them is not ours.
        """
        for manifest in build_namespace_objects(namespace, self._settings):
            if manifest["kind"] == CLAIMS.kind:
                # Not written again: most of a claim cannot change, and it may have been enlarged.
                await self._make_once(manifest)
            else:
                await self._ensure(manifest)

    async def leave_namespace(self, namespace: str) -> None:
        """Delete what `namespace` made.

        Raises:
            ApiError: It could not be done.
        """
        doomed = [NETWORKPOLICIES.ref(FETCH_POLICY, namespace)]
        if self._settings.weights.create:
            doomed.append(CLAIMS.ref(self._settings.weights.claim, namespace))
        await self._delete_all(doomed)

    async def pool(self, pool: ClusterPool, live: Manifest | None) -> Manifest | None:
        """Have the pool's objects and its RayService be as planned.

        Args:
            pool: The pool.
            live: Its RayService, as it was seen; another version of it is a conflict.

        Returns:
            The RayService, where it is another version now than the one that was seen.

        Raises:
            ApiError: It could not be done; `NameConflict` where an object is not ours.
        """
        if live is not None and self._is_written(pool, live):
            return None
        if live is not None and pool.declined:
            return await self._decline(live)
        await self._token(pool)
        for manifest in build_pool_objects(pool, self._settings):
            await self._ensure(manifest)
        wanted = stamp(build_ray_service(pool, self._settings, live))
        if live is None:
            return await self._make(wanted)
        if template_of(pool.name) != template_hash(pool.key, self._settings):
            return await self._change_config(live, wanted["spec"]["serveConfigV2"])
        if is_applied(live, wanted):
            version = live["metadata"]["resourceVersion"]
            self._written[ref_of(live)] = (pool, version, time.monotonic())
            return None
        # First: what is applied already is not looked at again.
        await self._resize(pool, live)
        metadata = live["metadata"]
        await self._tell(live, wanted)
        # Forced, since KubeRay writes the worker groups too.
        return await self._api.apply(
            wanted, resource_version=metadata["resourceVersion"], uid=metadata["uid"]
        )

    async def _tell(self, live: Manifest, wanted: Manifest) -> None:
        """Tell of a RayService that is about to be written over; who manages its fields is read."""
        whole = await self._api.get(ref_of(live))
        if whole is not None:
            await self._overwriting(whole, wanted)

    def _is_written(self, pool: ClusterPool, live: Manifest) -> bool:
        """Tell whether the same pool was compared with the same RayService a short while ago.

        To render and compare a pool of 20 models takes 20 times as long as this, and a change of
        one model is a pass over all pools of its namespace.
        """
        planned, version, at = self._written.get(ref_of(live), (None, "", -_CHECK_SECONDS))
        return (
            version == live["metadata"]["resourceVersion"]
            and time.monotonic() - at < _CHECK_SECONDS
            and planned == pool
        )

    async def _decline(self, live: Manifest) -> Manifest:
        """Take back the wish to empty a pool; what else differs is written once it is gone."""
        version = live["metadata"]["resourceVersion"]
        return await self._api.merge_patch(
            ref_of(live),
            {"metadata": {"resourceVersion": version, "annotations": {ANNOTATION_COMPACT: None}}},
        )

    async def _make(self, wanted: Manifest) -> Manifest:
        """Make a RayService that was not there; one that is by now is looked at first."""
        live = await self._api.get(ref_of(wanted))
        if live is None:
            return await self._api.apply(wanted, force=False)
        check_owned(live, self._settings.hub_id)
        return live

    async def _change_config(self, live: Manifest, config: str) -> Manifest | None:
        """Change the models of a pool with an outdated template, and nothing else of it.

        Its template came from another version of this program, which may have applied fields that
        this one does not know: applying it anew would remove them.
        """
        if live["spec"].get("serveConfigV2") == config:
            return None
        version = live["metadata"]["resourceVersion"]
        return await self._api.merge_patch(
            ref_of(live),
            {"metadata": {"resourceVersion": version}, "spec": {"serveConfigV2": config}},
        )

    async def _resize(self, pool: ClusterPool, live: Manifest) -> None:
        """Tell the Ray cluster its new bounds: KubeRay does not pass them on (kuberay#2331)."""
        status = (live.get("status") or {}).get("activeServiceStatus") or {}
        name = status.get("rayClusterName")
        groups = live["spec"]["rayClusterConfig"].get("workerGroupSpecs") or [{}]
        if not name or groups[0].get("maxReplicas") == pool.key.worker.max_workers:
            return
        ref = RAYCLUSTERS.ref(name, pool.key.namespace)
        cluster = await self._api.get(ref)
        patch = worker_bounds_patch(pool, cluster) if cluster else None
        if patch is not None:
            await self._api.merge_patch(ref, patch)

    async def delete_pool(self, namespace: str, name: str) -> None:
        """Delete a pool's RayService and what belongs to it.

        With a store for its state, what belongs to it stays until it is gone, since KubeRay clears
        the store with the pool's token; this is to be called again then.

        Raises:
            ApiError: It could not be done.
        """
        service = RAYSERVICES.ref(name, namespace)
        live = await self._api.get(service)
        if live is None or not uses_store(live):
            await self._delete_all(
                (
                    NETWORKPOLICIES.ref(name, namespace),
                    SECRETS.ref(token_secret_name(name), namespace),
                )
            )
        # Last: as long as it is there, somebody looks for what belongs to it.
        await self._delete_all((service,))

    async def create_job(self, job: Manifest) -> Manifest | None:
        """Create a fetch Job; one that is there already is left alone.

        Returns:
            The Job; None where one was there that is gone by now.

        Raises:
            ApiError: It could not be done.
        """
        try:
            return await self._api.create(job)
        except errors.AlreadyExists:
            live = await self._api.get(ref_of(job))
            if live is not None:
                check_owned(live, self._settings.hub_id)
            return live

    async def delete_job(self, namespace: str, name: str) -> None:
        """Delete a fetch Job and its pods.

        Raises:
            ApiError: It could not be done.
        """
        await delete_owned(self._api, JOBS.ref(name, namespace), self._settings.hub_id)

    async def token(self, namespace: str, pool: str) -> str | None:
        """Return the token of a pool's dashboard, or None where there is none yet.

        Raises:
            ApiError: It could not be read.
        """
        secret = await self._api.get(SECRETS.ref(token_secret_name(pool), namespace))
        return secret["data"].get(TOKEN_KEY) if secret else None

    async def _token(self, pool: ClusterPool) -> None:
        """Have the pool's Secret there, with the one token that the pool's pods know."""
        ref = SECRETS.ref(token_secret_name(pool.name), pool.key.namespace)
        if self._is_fresh(ref, ""):
            return
        token = pool_token(self._token_key, pool.key.namespace, pool.name)
        wanted = token_secret(pool, self._settings, token)
        live = await self._api.get(ref)
        if live is not None:
            check_owned(live, self._settings.hub_id)
        if live is None or live.get("data") != wanted["data"]:
            if live is not None:
                # Somebody put another one in its place, and what is immutable cannot be written.
                await self._api.delete(ref, uid=live["metadata"]["uid"])
            await self._api.create(wanted)
        self._checked[ref] = ("", time.monotonic())

    async def _ensure(self, manifest: Manifest) -> None:
        """Apply an object that nobody watches: seldom looked at, and written if it differs."""
        ref = ref_of(manifest)
        digest = short_hash(json.dumps(manifest, sort_keys=True), 16)
        if self._is_fresh(ref, digest):
            return
        await apply_owned(self._api, manifest, self._settings.hub_id, overwriting=self._overwriting)
        self._checked[ref] = (digest, time.monotonic())

    async def _make_once(self, manifest: Manifest) -> None:
        """Create an object that is not there; one that is there has to be ours."""
        ref = ref_of(manifest)
        if self._is_fresh(ref, ""):
            return
        live = await self._api.get(ref)
        if live is None:
            await self._api.create(manifest)
        else:
            check_owned(live, self._settings.hub_id)
        self._checked[ref] = ("", time.monotonic())

    def _is_fresh(self, ref: Ref, digest: str) -> bool:
        known, at = self._checked.get(ref, ("", -_CHECK_SECONDS))
        return known == digest and time.monotonic() - at < _CHECK_SECONDS

    async def _delete_all(self, refs: Iterable[Ref]) -> None:
        refs = tuple(refs)
        for ref in refs:
            self._checked.pop(ref, None)
            self._written.pop(ref, None)
        await asyncio.gather(*(self._delete(ref) for ref in refs))

    async def _delete(self, ref: Ref) -> None:
        try:
            await delete_owned(self._api, ref, self._settings.hub_id)
        except errors.NameConflict:
            # Somebody else's: it was never ours to delete.
            return


async def set_finalizer(
    api: Api, resource: Resource, metadata: ObjectMeta, *, present: bool
) -> Manifest | None:
    """Set or remove our finalizer; the others stay.

    Returns:
        The object as it is then; None where it is gone, and was to lose the finalizer.

    Raises:
        ApiError: It could not be done; `Conflict` where the object changed since it was seen.
    """
    finalizers = [name for name in metadata.finalizers if name != FINALIZER]
    if present:
        finalizers.append(FINALIZER)
    patch = {"finalizers": finalizers or None, "resourceVersion": metadata.resource_version}
    try:
        ref = resource.ref(metadata.name, metadata.namespace)
        return await api.merge_patch(ref, {"metadata": patch})
    except errors.NotFound:
        if present:
            raise
        return None
