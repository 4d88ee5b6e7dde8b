"""What was gathered of one namespace: the input of its decisions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from smallmodel_operator.api.modelplacement import ModelPlacement, PlacedProbe, Problem
from smallmodel_operator.plan.pools.values import LivePool, Manifest
from smallmodel_operator.status.serve import ServedApplication

SHARED: Final = ""
"""Stands for what a namespace has once, whatever its pools, where an object has no name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpulledImage:
    """An image that a node could not pull."""

    image: str
    message: str
    """The registry's words, or those of the node's container runtime."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The pod that leads a pool."""

    pod: str
    """Its name; empty: KubeRay does not tell it."""
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSight:
    """One RayService of ours, and what its Serve says."""

    live: LivePool
    manifest: Manifest
    """As the API server has it."""
    ready: bool
    """KubeRay calls it ready now."""
    head: Head | None = None
    """Where there is one."""
    applications: Mapping[str, ServedApplication] | None = None
    """By model name; None: Serve did not answer, which says nothing of its applications."""

    barred: str | None = None
    """Why nobody may ask Serve, until somebody grants it."""
    foreign_config: bool = False
    """Its Serve config was changed by somebody else, and cannot be read."""
    unpulled: UnpulledImage | None = None
    """The image of one of its pods, where that cannot be pulled."""
    unscheduled: str | None = None
    """What the scheduler says of one of its pods, where no node has room for it."""

    @property
    def established(self) -> bool:
        """Whether it was ready once: models were added, or it is ready now.

        A config that cannot be read may have had models, which an empty one would delete.
        """
        return self.ready or bool(self.live.models) or self.foreign_config


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSight:
    """One fetch Job."""

    manifest: Manifest
    last_words: str | None = None
    """The termination message of its last pod, or the last line of its log."""
    unpulled: UnpulledImage | None = None
    """Its image, where that cannot be pulled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceSight:
    """Everything that one pass over a namespace knows."""

    namespace: str
    placements: tuple[ModelPlacement, ...]
    """All whose models belong here, those that are being deleted included."""
    pools: tuple[PoolSight, ...]
    jobs: Mapping[str, JobSight] = field(default_factory=dict)
    """Ours, by name."""
    answers: Mapping[str, PlacedProbe] = field(default_factory=dict)
    """What verifying requests came to since the last pass, by model name."""
    probing: frozenset[str] = frozenset()
    """Pools whose verifying request is under way."""
    foreign: frozenset[str] = frozenset()
    """Names of RayServices here that are not ours."""
    nobodys: frozenset[str] = frozenset()
    """Names of RayServices of ours that cannot be read, and that no placement speaks of."""
    ended: frozenset[str] = frozenset()
    """Names of RayServices that are gone, and of which something may be left."""
    unread: frozenset[str] = frozenset()
    """Names of models whose placements cannot be read: what runs of them goes on."""
    needed_jobs: frozenset[str] = frozenset()
    """Fetch Jobs of what the cards of models are still to be made of."""
    refused: Mapping[str, Problem] = field(default_factory=dict)
    """What was said at the last try against a pool or a fetch Job, by its name, or `SHARED`."""
    missing_api: str | None = None
    """What is to be done about KubeRay, where it is missing or too old."""
    ending: bool = False
    """The namespace is being deleted."""
    jurisdiction: str | None = None
    """The cluster's by its own settings, never by what a hub sent; None: they do not say."""
