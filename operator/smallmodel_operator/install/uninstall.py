"""`python -m smallmodel_operator.install.uninstall`: what comes before the operator is removed.

The operator is stopped, and then its finalizers are taken off, so that objects can be deleted
when nobody is there to act on them. Models go on being served; with `--delete-models` they are
deleted first, while the operator can still clean up after them.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from smallmodel_operator.api.names import FINALIZER
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.errors import ApiError, ApiMissing, Conflict, NotFound
from smallmodel_operator.clusters.ref import (
    DEPLOYMENTS,
    MODELPLACEMENTS,
    PODS,
    SMALLMODELS,
    Manifest,
    Resource,
    ref_of,
)

_PAUSE_SECONDS: Final = 1.0
_ATTEMPTS: Final = 5
_SHOWN: Final = 5

_log: Final = logging.getLogger(__name__)


class UninstallStopped(Exception):
    """Something is still there when the time is over; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What is to be removed."""

    namespace: str
    """Of the operator."""
    deployment: str
    """The operator's."""
    watched: frozenset[str] = frozenset()
    """The namespaces whose models are this operator's; empty: all."""
    patience: float = 300.0
    """Seconds for each wait."""

    def owns(self, manifest: Manifest) -> bool:
        """Tell whether a SmallModel or a ModelPlacement is this operator's."""
        model = manifest["spec"].get("model") if manifest["kind"] == MODELPLACEMENTS.kind else None
        namespace = (model or manifest["metadata"])["namespace"]
        return not self.watched or namespace in self.watched


async def delete_models(api: Api, installation: Installation) -> None:
    """Delete every SmallModel, and wait until the operator has removed what served them.

    Raises:
        ApiError: The API server failed or refused.
        UninstallStopped: Some are still there; nothing was forced.
    """
    for model in await _owned(api, SMALLMODELS, installation):
        await api.delete(ref_of(model), uid=model["metadata"]["uid"])

    async def left() -> list[str]:
        kinds = (SMALLMODELS, MODELPLACEMENTS)
        found = [one for kind in kinds for one in await _owned(api, kind, installation)]
        return [str(ref_of(one)) for one in found]

    await _until_none(
        left,
        installation,
        "look at the operator's log and uninstall again, or keep models by "
        "`helm upgrade --set uninstall.deleteModels=false`",
    )


async def stop_operator(api: Api, installation: Installation) -> None:
    """Scale the operator to zero and wait for its pods, since it would put finalizers back.

    Raises:
        ApiError: The API server failed or refused.
        UninstallStopped: A pod is still there.
    """
    ref = DEPLOYMENTS.ref(installation.deployment, installation.namespace)
    deployment = await api.get(ref)
    if deployment is None:
        return
    await api.merge_patch(ref, {"spec": {"replicas": 0}})
    labels = deployment["spec"]["selector"]["matchLabels"]
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))

    async def left() -> list[str]:
        pods, _ = await api.list(PODS, installation.namespace, labels=selector)
        return [str(ref_of(pod)) for pod in pods]

    await _until_none(
        left,
        installation,
        "delete it with `kubectl delete pod --force` if its node is gone, and uninstall again",
    )


async def strip_finalizers(api: Api, installation: Installation) -> int:
    """Take our finalizer off every object that has it, and return how many had it.

    Raises:
        ApiError: The API server failed or refused.
    """
    count = 0
    for kind in (SMALLMODELS, MODELPLACEMENTS):
        for manifest in await _owned(api, kind, installation):
            count += await _strip(api, manifest)
    return count


async def _strip(api: Api, manifest: Manifest) -> bool:
    """Return whether the finalizer was there; others' finalizers stay."""
    ref = ref_of(manifest)
    found: Manifest | None = manifest
    for attempt in range(1, _ATTEMPTS + 1):
        metadata = found["metadata"] if found else {}
        finalizers = metadata.get("finalizers") or []
        if FINALIZER not in finalizers:
            return False
        others = [name for name in finalizers if name != FINALIZER]
        patch = {"metadata": {"finalizers": others, "resourceVersion": metadata["resourceVersion"]}}
        try:
            await api.merge_patch(ref, patch)
        except NotFound:
            return True
        except Conflict:
            if attempt == _ATTEMPTS:
                raise
            found = await api.get(ref)
        else:
            return True
    return False


async def _owned(api: Api, kind: Resource, installation: Installation) -> list[Manifest]:
    try:
        found, _ = await api.list(kind)
    except ApiMissing:
        return []
    return [manifest for manifest in found if installation.owns(manifest)]


async def _until_none(
    look: Callable[[], Awaitable[list[str]]], installation: Installation, next_step: str
) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + installation.patience
    while left := await look():
        if loop.time() >= deadline:
            shown = ", ".join(sorted(left)[:_SHOWN])
            more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
            raise UninstallStopped(
                f"{len(left)} objects are still there after {installation.patience:g} s: "
                f"{shown}{more}; {next_step}"
            )
        await asyncio.sleep(_PAUSE_SECONDS)


async def run(api: Api, installation: Installation, *, delete: bool) -> None:
    """Do all of it in order.

    Raises:
        ApiError: The API server failed or refused.
        UninstallStopped: Something is still there when the time is over.
    """
    if delete:
        await delete_models(api, installation)
        _log.info("every model is deleted")
    await stop_operator(api, installation)
    _log.info("the operator has stopped")
    count = await strip_finalizers(api, installation)
    _log.info("%d finalizers are taken off", count)


async def _main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m smallmodel_operator.install.uninstall")
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--deployment", required=True)
    parser.add_argument("--watched", default="", metavar="NAMESPACE,…")
    parser.add_argument("--delete-models", action="store_true")
    parser.add_argument("--timeout", type=float, default=300.0, metavar="SECONDS")
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    installation = Installation(
        namespace=options.namespace,
        deployment=options.deployment,
        watched=frozenset(name for name in options.watched.split(",") if name),
        patience=options.timeout,
    )
    try:
        async with await Api.connect(options.kubeconfig) as api:
            await run(api, installation, delete=options.delete_models)
    except (ApiError, UninstallStopped) as error:
        _log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(asyncio.run(_main(sys.argv[1:])))
