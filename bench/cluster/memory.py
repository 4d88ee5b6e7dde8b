"""What the containers of a pod hold, from their cgroups."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.cluster.pods import PodCluster

_CGROUPS: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes of one container."""

    usage: int
    """All that is charged to it, the page cache of files that it read included."""
    working_set: int
    """Without the part of the page cache that can go at once: what the kubelet goes by."""
    anonymous: int
    """What is no copy of a file."""
    most: int
    """The most usage so far."""


def containers(pods: PodCluster, pod: dict[str, Any]) -> dict[str, Memory]:
    """Return the memory of a pod's running containers, by name."""
    found = {}
    for status in pod["status"].get("containerStatuses", ()):
        if "running" in status["state"]:
            identity = status["containerID"].rpartition("/")[2]
            found[status["name"]] = read_cgroup(_folder(pods, identity))
    return found


def _folder(pods: PodCluster, container: str) -> Path:
    """Return a container's cgroup, of the memory controller where there is one for each."""
    for folder in _candidates(pods):
        for path in folder.glob(f"**/{container}"):
            return path
    raise FileNotFoundError(f"container {container} has no cgroup below {_CGROUPS}")


def _candidates(pods: PodCluster) -> Iterator[Path]:
    for node in range(pods.cluster.record.options.nodes):
        name = pods.cluster.files.node(node).cgroup
        yield from (_CGROUPS / "memory" / name, _CGROUPS / name)


def read_cgroup(folder: Path) -> Memory:
    """Return what a cgroup's files say, of either version."""
    parts = dict(line.split() for line in _text(folder / "memory.stat").splitlines())
    if (folder / "memory.current").exists():
        usage, most = _number(folder / "memory.current"), _number(folder / "memory.peak")
        anonymous, inactive = int(parts["anon"]), int(parts["inactive_file"])
    else:
        usage = _number(folder / "memory.usage_in_bytes")
        most = _number(folder / "memory.max_usage_in_bytes")
        anonymous, inactive = int(parts["total_rss"]), int(parts["total_inactive_file"])
    return Memory(usage=usage, working_set=max(0, usage - inactive), anonymous=anonymous, most=most)


def _number(file: Path) -> int:
    return int(_text(file))


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")
