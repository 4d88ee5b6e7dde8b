"""Where the volume of a claim is, as far as a cluster's objects say it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from smallmodel_operator.api.datasource import ReadFrom
from smallmodel_operator.api.where import PLACE
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import CLAIMS, NODES, STORAGE_CLASSES, VOLUMES, Manifest
from smallmodel_operator.status.data import ClaimSight

_HOSTNAME: Final = "kubernetes.io/hostname"
_REGION: Final = "region"
_ZONE: Final = "zone"

Topology = Mapping[str, set[str]]
"""Values by label: what is said of nodes from which a volume can be reached."""


async def observe_claim(api: Api, namespace: str, name: str) -> ClaimSight | None:
    """Return a claim, and where its volume is; None where there is none of that name.

    Raises:
        ApiError: One of the objects that say it could not be read.
    """
    claim = await api.get(CLAIMS.ref(name, namespace))
    if claim is None:
        return None
    volume_name = (claim.get("spec") or {}).get("volumeName")
    status = claim.get("status") or {}
    phase = str(status.get("phase") or "Pending")
    if phase != "Bound" or not volume_name:
        return ClaimSight(phase=phase)
    topology, read_from = await _topology(api, volume_name)
    size = (status.get("capacity") or {}).get("storage")
    return ClaimSight(
        phase=phase,
        region=_the_only(topology, _REGION),
        zone=_the_only(topology, _ZONE),
        size=str(size) if size is not None else None,
        read_from=read_from,
    )


async def _topology(api: Api, volume_name: str) -> tuple[Topology, ReadFrom]:
    """Return what says where a volume is, the most telling object first."""
    volume = await api.get(VOLUMES.ref(volume_name)) or {}
    spec = volume.get("spec") or {}
    required = (spec.get("nodeAffinity") or {}).get("required") or {}
    affinity = _values(_in_terms(required))
    if _HOSTNAME in affinity and not _says_a_place(affinity):
        affinity = await _of_nodes(api, affinity[_HOSTNAME])
    if _says_a_place(affinity):
        return affinity, ReadFrom.VOLUME
    if spec.get("storageClassName"):
        found = await api.get(STORAGE_CLASSES.ref(spec["storageClassName"])) or {}
        allowed = _values(
            (one["key"], one["values"])
            for term in found.get("allowedTopologies") or ()
            for one in term.get("matchLabelExpressions") or ()
        )
        if _says_a_place(allowed):
            return allowed, ReadFrom.STORAGE_CLASS
    return {}, ReadFrom.CLUSTER


async def _of_nodes(api: Api, hostnames: Iterable[str]) -> Topology:
    nodes, _ = await api.list(NODES, labels=f"{_HOSTNAME} in ({','.join(sorted(hostnames))})")
    labels = (node["metadata"].get("labels") or {} for node in nodes)
    return _values((key, [value]) for one in labels for key, value in one.items())


def _in_terms(required: Manifest) -> Iterable[tuple[str, Iterable[str]]]:
    for term in required.get("nodeSelectorTerms") or ():
        for one in term.get("matchExpressions") or ():
            if one["operator"] == "In":
                yield one["key"], one["values"]


def _values(said: Iterable[tuple[str, Iterable[Any]]]) -> Topology:
    topology: dict[str, set[str]] = defaultdict(set)
    for key, values in said:
        topology[key].update(map(str, values))
    return topology


def _says_a_place(topology: Topology) -> bool:
    return any(_the_only(topology, kind) for kind in (_REGION, _ZONE))


def _the_only(topology: Topology, kind: str) -> str | None:
    """Return the one region or zone that is said; None: nothing says it, or several are said.

    Drivers have labels of their own beside `topology.kubernetes.io/zone`, such as
    `topology.gke.io/zone`. A volume that is reached from several zones may be in any of them.
    """
    named = (values for key, values in topology.items() if key.rsplit("/", 1)[-1] == kind)
    found = {value for values in named for value in values if PLACE.fullmatch(value)}
    return next(iter(found)) if len(found) == 1 else None
