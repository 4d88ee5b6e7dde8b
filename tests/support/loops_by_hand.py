"""The operator's loops on a real API server without nodes, run pass by pass.

What a watch would tell is listed before each pass, by a client of its own, so that the calls of the
client under test are the loops' alone and come in the same order each time. KubeRay and the kubelet
are faked: RayServices become ready, and fetch pods end well.
"""

import json
from collections.abc import Awaitable, Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from builders.cards import CardBuilder
from builders.clusters import declared, view
from builders.pool_values import TOKEN_KEY, pool_settings
from smallmodel_operator.api.names import placement_name, placement_namespace
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.events import Events
from smallmodel_operator.clusters.ref import (
    CLAIMS,
    JOBS,
    MODELPLACEMENTS,
    NETWORKPOLICIES,
    PODS,
    RAYSERVICES,
    SECRETS,
    SMALLMODELS,
    Manifest,
    Resource,
)
from smallmodel_operator.handlers.cluster_stores import ClusterStores
from smallmodel_operator.handlers.edits import Edits
from smallmodel_operator.handlers.events import EventWriter
from smallmodel_operator.handlers.models import ModelLoop
from smallmodel_operator.handlers.namespaces import NamespaceLoop
from smallmodel_operator.handlers.objects import key_of, owner
from smallmodel_operator.handlers.stores import HubStores
from support.paper_serving import NOW, serve_on_paper

CARD: Final = CardBuilder().build()
PLACEMENTS: Final = placement_namespace("local")
OWNED: Final = (CLAIMS, JOBS, MODELPLACEMENTS, NETWORKPOLICIES, RAYSERVICES, SECRETS, SMALLMODELS)
"""The kinds of everything that is made for a model."""
PASSES_MAX: Final = 150
"""Of one life: about thirty are needed, and a busy controller manager may need some more."""
_READS: Final = frozenset({"get", "list", "watch"})


@dataclass
class LoopsByHand:
    """One operator's loops for one namespace.

    Attributes:
        api: what the loops call.
        admin: lists and fakes.
        namespace: the models'.
        now: what the operator believes the time to be.
        hub: what the decide loop knows.
        local: what the serve loop knows.
    """

    api: Api
    admin: Api
    namespace: str
    now: str = NOW
    hub: HubStores = field(init=False)
    local: ClusterStores = field(init=False)
    _known: dict[Resource, dict[tuple[str, str], Manifest]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._start()

    async def crash(self) -> None:
        """Start anew, as another process would: nothing is known."""
        await self.close()
        self._start()

    def _start(self) -> None:
        settings = pool_settings()
        self._known = {}
        self.hub = HubStores(hub_id=settings.hub_id)
        self.hub.cards[CARD.metadata.name] = CARD
        self.hub.clusters["local"] = declared()
        self.local = ClusterStores(placements=self.hub.placements_on("local"))
        self._models = ModelLoop(
            api=self.api,
            stores=self.hub,
            fetching=self.local,
            events=EventWriter(Events(self.api, "by-hand")),
            settings=settings,
            url=lambda namespace, _: f"http://gateway/{namespace}/v1",
            now=lambda: self.now,
            views=lambda: {"local": view()},
            placed=lambda _: None,
            told=lambda _: None,
        )
        self._namespaces = NamespaceLoop(
            api=self.api,
            stores=self.local,
            settings=settings,
            token_key=TOKEN_KEY,
            placements_in=PLACEMENTS,
            now=lambda: self.now,
            missing_api=lambda: None,
            needed_jobs=self.hub.needed_jobs,
            wake=lambda _: None,
            told=lambda _: None,
            more=lambda _: False,
            overwriting=Edits(Events(self.api, "by-hand"), "local").tell,
        )

    async def one_pass(self) -> int:
        """List everything and work on everything once; return how many keys failed."""
        await self.watch()
        return await self.work()

    async def settle(self, until: Callable[[], Awaitable[bool]]) -> None:
        """Work until a condition holds and a pass writes nothing, or nothing that is taken.

        Raises:
            AssertionError: It never does.
        """
        for _ in range(PASSES_MAX):
            before = self.writes()
            failed = await self.one_pass()
            # What is refused is tried again in each pass.
            if (failed or self.writes() == before) and await until():
                return
        raise AssertionError(f"nothing settles: {comparable(await self.owned(), self.namespace)}")

    def writes(self) -> int:
        """Return how many writes the loops have tried."""
        return sum(count for call, count in self.api.calls.items() if call.verb not in _READS)

    async def work(self) -> int:
        """Work on everything once, by what was known before; return how many keys failed."""
        keys = sorted(self.hub.models.keys() | self.hub.placed())
        failed = 0
        for key in keys:
            failed += await self._attempt(self._models.work(key))
        failed += await self._attempt(self._namespaces.work(self.namespace))
        await serve_on_paper(self.admin, self.namespace)
        return failed

    async def is_served(self) -> bool:
        """Return whether the model `chat` is in the namespace's pool of ours."""
        pools = await self._listed(RAYSERVICES)
        return any('"name":"chat"' in p["spec"]["serveConfigV2"] for p in pools if owner(p))

    async def owned(self) -> list[Manifest]:
        """Return everything of the namespace's models."""
        found: list[Manifest] = []
        for resource in OWNED:
            found += await self._listed(resource)
        # The API server puts one into each namespace, and another program may.
        return [one for one in found if one["kind"] != "Secret" or one["metadata"].get("labels")]

    async def close(self) -> None:
        """End what the loops hold open."""
        await self._namespaces.close()

    async def _attempt(self, work: Any) -> int:
        try:
            await work
        except errors.ApiError:
            # A queue would try again later; here the next pass does.
            return 1
        return 0

    async def watch(self, *, unseen: Container[Resource] = ()) -> None:
        """List everything, and tell it as a watch would, but for kinds whose watch is behind."""
        for resource, see in _SEEN_BY.items():
            if resource in unseen:
                continue
            there = {key_of(item): item for item in await self._listed(resource)}
            for key, gone in self._known.get(resource, {}).items():
                if key not in there:
                    see(self, gone, True)
            for item in there.values():
                see(self, item, False)
            self._known[resource] = there

    async def _listed(self, resource: Resource) -> list[Manifest]:
        if resource is MODELPLACEMENTS:
            all_of_them, _ = await self.admin.list(resource, PLACEMENTS)
            return [p for p in all_of_them if p["spec"]["model"]["namespace"] == self.namespace]
        return (await self.admin.list(resource, self.namespace))[0]


_SEEN_BY: Final[dict[Resource, Callable[[LoopsByHand, Manifest, bool], object]]] = {
    SMALLMODELS: lambda loops, item, gone: loops.hub.see_model(item, gone=gone),
    MODELPLACEMENTS: lambda loops, item, gone: loops.hub.see_placement(item, gone=gone),
    RAYSERVICES: lambda loops, item, gone: loops.local.see_pool(item, gone=gone),
    JOBS: lambda loops, item, gone: loops.local.see_job(item, gone=gone),
    PODS: lambda loops, item, gone: loops.local.see_pod(item, gone=gone),
}


def model_manifest(namespace: str, name: str = "chat", **spec: Any) -> Manifest:
    """Return a SmallModel of the only card."""
    return {
        "apiVersion": SMALLMODELS.api_version,
        "kind": SMALLMODELS.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"model": CARD.metadata.name, **spec},
    }


def comparable(manifests: Iterable[Manifest], namespace: str) -> list[str]:
    """Return what was made in a form that is the same for each run, sorted."""
    texts = []
    for manifest in manifests:
        kept = {key: value for key, value in manifest.items() if key in {"kind", "spec"}}
        # Hashes of the namespace's name, among other things.
        kept["spec"] = {k: v for k, v in kept.get("spec", {}).items() if k != "specHash"}
        kept["name"] = manifest["metadata"]["name"]
        kept["finalizers"] = manifest["metadata"].get("finalizers", [])
        text = json.dumps(kept, sort_keys=True).replace(namespace, "NAMESPACE")
        texts.append(text.replace(placement_name(namespace, "chat")[-8:], "HASH"))
    return sorted(texts)
