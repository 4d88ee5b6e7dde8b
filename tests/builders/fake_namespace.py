"""A fake of one namespace below the decisions: what is ordered is there, and Serve does as told.

It stands for the API server, KubeRay, Ray Serve, fetch Jobs and the models themselves, each reduced
to what the decisions can see of it.
"""

import json
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from builders.pool_values import NAMESPACE, placement_of, pool_settings
from smallmodel_operator.api.fetch import FetchDone, FetchEvent
from smallmodel_operator.api.modelplacement import ModelPlacement, PlacedProbe
from smallmodel_operator.api.names import ANNOTATION_COMPACT, FINALIZER, INDEX_APPLICATION
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.serving import EngineReport, ModelArgs
from smallmodel_operator.api.smallmodel import Performance
from smallmodel_operator.plan.pools.rayservice import build_ray_service
from smallmodel_operator.plan.pools.values import Manifest, PoolSettings
from smallmodel_operator.reconcile.clock import after
from smallmodel_operator.reconcile.memory import Memory
from smallmodel_operator.reconcile.namespace import decide_namespace
from smallmodel_operator.reconcile.orders import NamespaceOrders, ProbeOrder
from smallmodel_operator.reconcile.reading import read_live
from smallmodel_operator.reconcile.sight import (
    Head,
    JobSight,
    NamespaceSight,
    PoolSight,
    UnpulledImage,
)
from smallmodel_operator.status.serve import ServedApplication, served_application, with_engines

START = "2026-11-24T12:00:00Z"
HEAD = Head(pod="pool-head", address="10.0.0.1")
BROKEN = "not what the operator writes"
NOT_FOUND = "not found"
UNLOADABLE = "unknown model architecture: 'nothing'"


@dataclass
class FakeNamespace:
    """The state of the world. Tests set what goes wrong, and read what was ordered."""

    settings: PoolSettings = field(default_factory=pool_settings)
    now: str = START
    placements: dict[str, ModelPlacement] = field(default_factory=dict)
    """By the model's name."""
    services: dict[str, Manifest] = field(default_factory=dict)
    ready: set[str] = field(default_factory=set)
    """Pools that KubeRay calls ready."""
    serve: dict[str, dict[str, ServedApplication]] = field(default_factory=dict)
    """Applications of each pool, without `_index`."""
    jobs: dict[str, JobSight] = field(default_factory=dict)
    claim: bool = False
    answers: dict[str, PlacedProbe] = field(default_factory=dict)
    asked: list[ProbeOrder] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)
    """Pools whose Serve does not answer."""
    unloadable: set[str] = field(default_factory=set)
    """Models that do not load."""
    undeployable: set[str] = field(default_factory=set)
    """Models whose application Serve cannot start."""
    absent: set[tuple[str, str]] = field(default_factory=set)
    """Pools and models that do not answer there."""
    without_weights: set[str] = field(default_factory=set)
    """Models whose weights are gone, until they are asked once."""
    missing: set[str] = field(default_factory=set)
    """Images that no node can pull."""
    full: str | None = None
    """What the scheduler says while no node has room for another pool."""
    engines: dict[str, EngineReport] = field(default_factory=dict)
    """What `_index` says of engines, by the model's name."""
    writes: int = 0
    memory: Memory = field(default_factory=Memory)
    sight: dict[str, Any] = field(default_factory=dict)
    """What a test says is different in what is seen."""

    def place(self, *names: str, **changes: Any) -> "FakeNamespace":
        """Have placements be there, as the decide loop writes them."""
        for name in names:
            before = self.placements.get(name)
            metadata = {
                "generation": before.metadata.generation + 1 if before else 1,
                "finalizers": [FINALIZER],
            }
            made = placement_of(name, metadata=metadata, **changes)
            if before:
                made = made.model_copy(update={"status": before.status})
            self.placements[name] = made
        return self

    def delete(self, *names: str) -> None:
        """Mark placements as the API server does; their finalizers hold them."""
        for name in names:
            before = self.placements[name]
            metadata = before.metadata.model_copy(update={"deletion_timestamp": self.now})
            self.placements[name] = before.model_copy(update={"metadata": metadata})

    def see(self) -> NamespaceSight:
        """What a pass gathers."""
        placements = tuple(self.placements.values())
        read = {name: read_live(each, placements) for name, each in sorted(self.services.items())}
        values: dict[str, Any] = {
            "namespace": NAMESPACE,
            "placements": placements,
            "pools": tuple(
                PoolSight(
                    live=pool.live,
                    foreign_config=pool.foreign_config,
                    manifest=self.services[name],
                    ready=name in self.ready,
                    head=HEAD,
                    applications=None if name in self.silent else self.serve.get(name),
                    unpulled=self._unpulled(_pool_image(self.services[name])),
                    unscheduled=None if name in self.ready else self.full,
                )
                for name, pool in read.items()
                if pool is not None
            ),
            "nobodys": frozenset(name for name, pool in read.items() if pool is None),
            "jobs": {name: self._with_image(job) for name, job in self.jobs.items()},
            "answers": dict(self.answers),
            "probing": frozenset(order.pool for order in self.asked),
        }
        return NamespaceSight(**values | self.sight)

    def decide(self) -> NamespaceOrders:
        """One pass, of which nothing is carried out."""
        sight = self.see()
        orders = decide_namespace(sight, self.settings, self.now, self.memory)
        assert orders == decide_namespace(sight, self.settings, self.now), "memory changes nothing"
        return orders

    def work(self) -> NamespaceOrders:
        """One pass, carried out."""
        orders = self.decide()
        self._carry_out(orders)
        return orders

    def settle(self, *, passes: int = 12, seconds: float = 1.0) -> None:
        """Let the world and the operator take turns."""
        for _ in range(passes):
            self.work()
            self.world()
            self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in which nobody does anything."""
        self.now = after(self.now, seconds)

    def world(self) -> None:
        """Let Jobs, KubeRay, Serve and the models do what they were told."""
        for name, job in self.jobs.items():
            if job.last_words is None and self._with_image(job).unpulled is None:
                self.jobs[name] = fetched_job(job.manifest, self.now)
        for name, service in self.services.items():
            if _pool_image(service) in self.missing or (self.full and name not in self.ready):
                continue
            self.ready.add(name)
            if name not in self.silent and not self.is_broken(name):
                self.serve[name] = self._served(service)
        for order in self.asked:
            if order.pool in self.serve and order.pool not in self.silent:
                self.answers[order.model] = self._answer(order)
        self.asked.clear()

    def config(self, pool: str) -> dict[str, Any]:
        """A pool's applications by name, without `_index`."""
        applications = json.loads(self.services[pool]["spec"]["serveConfigV2"])["applications"]
        return {each["name"]: each for each in applications if each["name"] != INDEX_APPLICATION}

    def break_config(self, pool: str) -> None:
        """Let somebody write something else into a pool's config; Serve goes on as it was told."""
        service = self.services[pool]
        self.services[pool] = service | {"spec": service["spec"] | {"serveConfigV2": BROKEN}}

    def wish(self, *pools: str, at: str | None = None) -> None:
        """Ask for pools to be emptied, as `slm pool compact` does."""
        for name in pools:
            made = deepcopy(self.services[name])
            made["metadata"]["annotations"][ANNOTATION_COMPACT] = at or self.now
            self.services[name] = made

    def wish_of(self, service: Manifest | None) -> str | None:
        """When somebody asked for a pool to be emptied."""
        annotations = service["metadata"]["annotations"] if service else {}
        wish: str | None = annotations.get(ANNOTATION_COMPACT)
        return wish

    def is_broken(self, pool: str) -> bool:
        """Whether the pool's config is what somebody else wrote."""
        return bool(self.services[pool]["spec"]["serveConfigV2"] == BROKEN)

    def models_of(self, pool: str) -> set[str]:
        """The names of a pool's models, as its config has them."""
        return set(self.config(pool))

    @property
    def pool(self) -> str:
        """The only pool's name."""
        (name,) = self.services
        return name

    def _with_image(self, job: JobSight) -> JobSight:
        if not self.missing:
            return job
        return replace(job, unpulled=self._unpulled(_job_image(job.manifest)))

    def _unpulled(self, image: str) -> UnpulledImage | None:
        return UnpulledImage(image=image, message=NOT_FOUND) if image in self.missing else None

    def _served(self, service: Manifest) -> dict[str, ServedApplication]:
        applications = json.loads(service["spec"]["serveConfigV2"])["applications"]
        served = {
            each["name"]: application(
                each["name"],
                args=ModelArgs.model_validate(each["args"]),
                failed=each["name"] in self.undeployable,
            )
            for each in applications
            if each["name"] != INDEX_APPLICATION
        }
        return with_engines(served, self.engines)

    def _answer(self, order: ProbeOrder) -> PlacedProbe:
        return self._outcome(order).model_copy(update={"pool": order.pool})

    def _outcome(self, order: ProbeOrder) -> PlacedProbe:
        if (order.pool, order.model) in self.absent:
            return refusal(order.serving_hash, Reason.LOAD_FAILED, self.now)
        if order.model in self.without_weights:
            self.without_weights.discard(order.model)
            return refusal(order.serving_hash, Reason.WEIGHTS_MISSING, self.now)
        if order.model in self.unloadable:
            return refusal(order.serving_hash, Reason.LOAD_FAILED, self.now, UNLOADABLE)
        return good_answer(order.serving_hash, self.now)

    def _carry_out(self, orders: NamespaceOrders) -> None:
        by_name = {each.metadata.name: name for name, each in self.placements.items()}
        for pool in orders.pools:
            live = self.services.get(pool.name)
            made = build_ray_service(pool, self.settings, live)
            if (wish := self.wish_of(live)) is not None and not pool.declined:
                made["metadata"]["annotations"][ANNOTATION_COMPACT] = wish
            if made != live:
                self.services[pool.name] = made
                self.writes += 1
        for job in orders.jobs:
            self.jobs[job["metadata"]["name"]] = JobSight(manifest=job)
            self.writes += 1
        if orders.wants_claim and not self.claim:
            self.claim = True
            self.writes += 1
        for doomed in orders.delete:
            self.writes += self._delete(doomed.kind, doomed.name)
        for name, status in orders.statuses.items():
            model = by_name[name]
            placement = self.placements[model]
            self.placements[model] = placement.model_copy(update={"status": status})
            self.writes += 1
        for name in orders.release:
            del self.placements[by_name[name]]
            self.writes += 1
        self.answers.clear()
        self.asked += orders.probes

    def _delete(self, kind: str, name: str) -> bool:
        if kind == "PersistentVolumeClaim":
            was, self.claim = self.claim, False
            return was
        if kind == "Job":
            return self.jobs.pop(name, None) is not None
        self.ready.discard(name)
        self.serve.pop(name, None)
        return self.services.pop(name, None) is not None


def served_by(*names: str, **settings: Any) -> FakeNamespace:
    """A namespace whose models all answer."""
    fake = FakeNamespace(settings=pool_settings(**settings)).place(*names)
    fake.settle(passes=8 + 2 * len(names))
    assert all(is_verified(fake, name) for name in names)
    return fake


def _pool_image(service: Manifest) -> str:
    pod = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]
    image: str = pod["containers"][0]["image"]
    return image


def _job_image(job: Manifest) -> str:
    image: str = job["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


def is_verified(fake: FakeNamespace, name: str) -> bool:
    """Whether the model's present revision answered."""
    status = fake.placements[name].status
    probe = status.probe
    return probe is not None and probe.passed and probe.serving_hash == status.serving_hash


def application(
    name: str, *, args: ModelArgs | None, failed: bool = False, replicas: int = 1, message: str = ""
) -> ServedApplication:
    """What Serve says of an application."""
    words = message or ("the constructor raised" if failed else "")
    made = served_application(
        name,
        status="DEPLOY_FAILED" if failed else "RUNNING",
        message=words,
        deployed_at=0.0,
        deployments=(),
        args=args,
    )
    return ServedApplication(
        **{each: getattr(made, each) for each in made.__slots__} | {"replicas": replicas}
    )


def good_answer(serving_hash: str, at: str) -> PlacedProbe:
    """It answered."""
    return PlacedProbe(
        serving_hash=serving_hash,
        passed=True,
        reason=Reason.VERIFIED,
        at=at,
        message="it answered",
        performance=Performance(time_to_first_token_seconds=0.2, tokens_per_second=40.0),
    )


def refusal(serving_hash: str, reason: Reason, at: str, message: str = "no") -> PlacedProbe:
    """It did not answer as it should."""
    return PlacedProbe(
        serving_hash=serving_hash, passed=False, reason=reason, at=at, message=message
    )


def fetched_job(job: Manifest, at: str, event: FetchEvent | None = None) -> JobSight:
    """The Job at its end, with what it came to."""
    name = job["metadata"]["name"]
    done = event or FetchDone(path=f"/weights/{name}.gguf", bytes=90, sha256="ab" * 32)
    kind = "Complete" if isinstance(done, FetchDone) else "Failed"
    condition = {"type": kind, "status": "True", "lastTransitionTime": at}
    return JobSight(
        manifest=job | {"status": {"conditions": [condition]}}, last_words=done.model_dump_json()
    )
