"""The chart's accounts and roles on a real API server, and what each account has called so far."""

import contextlib
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from bench.children import until
from cluster.audit import AUDITED, AuditLog
from cluster.running import Cluster
from smallmodel_operator.api.names import LOCAL_CLUSTER, placement_namespace
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import (
    MODELCARDS,
    MODELCLUSTERS,
    NAMESPACES,
    Manifest,
    ref_of,
)
from smallmodel_operator.install.uninstall import Installation, strip_finalizers
from support.acting import acting_as
from support.audited_calls import AuditedCall, calls_of, refused, ungranted, unused
from support.chart_roles import Grant, grants_of
from tools import helm

SYSTEM: Final = AUDITED[1]
OPERATOR: Final = "smallmodel-operator"
GATEWAY: Final = "smallmodel-gateway"
UNINSTALL: Final = "smallmodel-operator-uninstall"

_PLACEMENTS: Final = placement_namespace(LOCAL_CLUSTER)
# What would run pods, or is applied by others.
_LEFT_OUT: Final = frozenset({"CustomResourceDefinition", "Job", "Pod", "SmallModel"})


@dataclass(slots=True, kw_only=True)
class WatchedRoles:
    """An installation of which no pod runs: its accounts are used by the test."""

    plane: Cluster
    manifests: Sequence[Manifest]
    folder: Path
    log: AuditLog

    def kubeconfig(self, account: str) -> Path:
        """Return the way to the API server of one of the chart's accounts."""
        return acting_as(self.plane, SYSTEM, account, self.folder)

    def environment(self) -> dict[str, str]:
        """Return what the chart tells the operator, as Kubernetes would hand it to its pod."""
        (deployment,) = (
            one
            for one in self.manifests
            if one["kind"] == "Deployment" and one["metadata"]["name"] == OPERATOR
        )
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        told = {one["name"]: one["value"] for one in container["env"] if "value" in one}
        return told | {"SMALLMODEL_NAMESPACE": SYSTEM, "SMALLMODEL_POD_NAME": "by-hand"}

    def has(self, account: str) -> bool:
        """Tell whether the chart makes this account."""
        wanted = ("ServiceAccount", account)
        return wanted in {(one["kind"], one["metadata"]["name"]) for one in self.manifests}

    def calls(self, account: str) -> frozenset[AuditedCall]:
        """Return what an account has called until now."""
        made = calls_of(self.log.lines())
        return frozenset(call for call in made if call.account == f"{SYSTEM}/{account}")

    def grants(self, account: str) -> frozenset[Grant]:
        """Return what the chart grants an account."""
        return grants_of(account, self.manifests)

    def wrong(self, account: str, *, not_needed: Iterable[Grant] = ()) -> dict[str, list[str]]:
        """Return where an account's roles are not what it needs, and nothing where they are.

        Args:
            account: Its name.
            not_needed: Grants that are not for what the test does.
        """
        grants, calls = self.grants(account), self.calls(account)
        left = unused(grants, calls) - set(not_needed)
        found = {
            "refused": refused(calls),
            "not by the chart's roles": ungranted(grants, calls),
            "granted in vain": sorted(map(str, left)),
        }
        return {what: which for what, which in found.items() if which}


@contextlib.asynccontextmanager
async def watched_roles(
    plane: Cluster, admin: Api, folder: Path, values: Sequence[str]
) -> AsyncIterator[WatchedRoles]:
    """Apply the accounts, roles and Deployments of the chart, and take them away.

    What operators of other tests have left in the cluster is taken away before.
    """
    manifests = [
        _without_pods(one)
        for one in helm.render(values, namespace=SYSTEM)
        if one["kind"] not in _LEFT_OUT
    ]
    text = yaml.safe_dump_all(manifests)
    await _clear(admin)
    await admin.create(_namespace(SYSTEM))
    plane.apply(text, "--force-conflicts")
    try:
        yield WatchedRoles(
            plane=plane, manifests=manifests, folder=folder, log=AuditLog(plane.files.audit_log)
        )
    finally:
        plane.kubectl("delete", "--wait=false", "--ignore-not-found", "-f", "-", stdin=text)
        await _clear(admin)


async def _clear(admin: Api) -> None:
    everything = Installation(namespace=SYSTEM, deployment=OPERATOR)
    await strip_finalizers(admin, everything)
    for kind in (MODELCARDS, MODELCLUSTERS):
        with contextlib.suppress(errors.ApiMissing):
            for one in (await admin.list(kind))[0]:
                await admin.delete(ref_of(one))
    for name in (SYSTEM, _PLACEMENTS):
        ref = NAMESPACES.ref(name)
        await admin.delete(ref)

        async def gone(ref: Any = ref) -> bool:
            return await admin.get(ref) is None

        await until(gone, f"the namespace {name} is gone", within=60, every=0.2)


def _without_pods(manifest: Manifest) -> Manifest:
    """Return a copy of which nothing starts: there is no kubelet that would end it."""
    made: Manifest = json.loads(json.dumps(manifest))
    if made["kind"] == "Deployment":
        made["spec"]["replicas"] = 0
    return made


def _namespace(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
