"""What clusters change on the machine itself, and how that is undone.

The first cluster writes down what was there before, the last one to go puts it back.
"""

import contextlib
import json
import os
import platform
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cluster.addresses import CLUSTERS
from cluster.folders import LOCKS, STATE, ClusterFiles
from cluster.locks import locked
from cluster.options import ClusterOptions, ClusterRecord
from cluster.parts import Parts
from cluster.problems import ClusterProblem

# The kubelet sets these for the whole machine; none of them belongs to a namespace.
SYSCTLS: Final = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
)
# Paths that are fixed in kubelet, CNI and Kubernetes. Each node mounts its own over them.
MOUNT_POINTS: Final = ("/var/lib/cni", "/var/lib/kubelet", "/var/log/containers")
_LOCK: Final = LOCKS / "smallmodel-clusters.lock"
CGROUPS: Final = Path("/sys/fs/cgroup")
PROC_SYS: Final = Path("/proc/sys")


def require_root() -> None:
    """Raise ClusterProblem where a cluster cannot be brought up."""
    if problem := unsupported():
        raise ClusterProblem(problem)


def unsupported() -> str | None:
    """Return why no cluster can be brought up here, or None."""
    if platform.system() != "Linux":
        return f"the nodes are namespaces of the Linux kernel, and this is {platform.system()}"
    if os.geteuid() != 0:
        return "making namespaces, links and mounts needs root: run it as root, or with sudo"
    return None


def lock_cluster(name: str) -> contextlib.AbstractContextManager[None]:
    """Let one run at a time bring up or take down that cluster."""
    return locked(LOCKS / f"smallmodel-cluster-{name}.lock", f"cluster {name}", within=900)


def records() -> list[ClusterRecord]:
    """Return all clusters of this machine that have not been taken down."""
    found = []
    for path in sorted(STATE.glob("*/cluster.json")):
        # Another run may take it down at this moment.
        with contextlib.suppress(FileNotFoundError):
            found.append(ClusterRecord.model_validate_json(path.read_text()))
    return found


def claim(options: ClusterOptions, parts: Parts) -> ClusterRecord:
    """Give the cluster its block of addresses and its folder.

    Raises:
        ClusterProblem: the block that was asked for, or every block, is in use.
    """
    files = ClusterFiles(options.name)
    with locked(_LOCK, "the list of clusters", within=60):
        if files.record.exists():
            return ClusterRecord.model_validate_json(files.record.read_text())
        holders = {record.index: record.options.name for record in records()}
        free = [index for index in range(CLUSTERS) if index not in holders]
        index = options.index if options.index is not None else free[0] if free else None
        if index is None:
            raise ClusterProblem(f"all {CLUSTERS} address blocks are in use: take a cluster down")
        if index in holders:
            raise ClusterProblem(
                f"index {index} is held by cluster {holders[index]}: take that down, or leave "
                "the index out to get one that is free"
            )
        _remember()
        record = ClusterRecord(
            options=options,
            index=index,
            path=parts.path,
            system_images=parts.system_images,
            kuberay=parts.kuberay,
        )
        files.root.mkdir(mode=0o755, exist_ok=True)
        # Renamed, so that nobody reads half of it.
        partial = files.record.with_suffix(".new")
        partial.write_text(record.model_dump_json(indent=1))
        partial.rename(files.record)
        return record


def release(name: str, after_the_last: Callable[[], None]) -> None:
    """Remove the cluster's folder; with the last one, the machine is as it was before the first.

    Args:
        name: of the cluster.
        after_the_last: is called when no cluster is left, and none can come meanwhile.

    Raises:
        ClusterProblem: something is still in use.
    """
    files = ClusterFiles(name)
    with locked(_LOCK, "the list of clusters", within=60):
        try:
            for path in files.root.iterdir():
                # The record goes last: as long as anything is left, `down` can be run again.
                if path.is_dir():
                    shutil.rmtree(path)
                elif path != files.record:
                    path.unlink()
        except OSError as busy:
            raise ClusterProblem(f"{busy}: wait a moment and run it again") from busy
        files.record.unlink()
        files.root.rmdir()
        if not records():
            after_the_last()
            _restore()


def _before() -> Path:
    return STATE / ".before.json"


def _remember() -> None:
    STATE.mkdir(mode=0o755, parents=True, exist_ok=True)
    if _before().exists():
        return
    made = [folder for folder in MOUNT_POINTS if not Path(folder).exists()]
    values = {name: (PROC_SYS / name).read_text().strip() for name in SYSCTLS}
    _before().write_text(json.dumps({"sysctls": values, "folders": made}))
    for folder in made:
        Path(folder).mkdir(parents=True)


def _restore() -> None:
    before = json.loads(_before().read_text())
    for name, value in before["sysctls"].items():
        (PROC_SYS / name).write_text(value)
    for folder in before["folders"]:
        # Somebody else's kubelet may have moved in.
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    _before().unlink()
    with contextlib.suppress(OSError):
        STATE.rmdir()


def make_cgroup(name: str) -> None:
    """Make the cgroup below which a node's pods live, in every hierarchy there is."""
    if (CGROUPS / "cgroup.controllers").exists():
        controllers = (CGROUPS / "cgroup.controllers").read_text().split()
        enabled = " ".join(f"+{controller}" for controller in controllers)
        (CGROUPS / "cgroup.subtree_control").write_text(enabled)
        (CGROUPS / name).mkdir(exist_ok=True)
        return
    for hierarchy in CGROUPS.iterdir():
        # Version 1 has one folder for each controller; links between them are the same folder.
        if (hierarchy / "tasks").exists() and not hierarchy.is_symlink():
            (hierarchy / name).mkdir(exist_ok=True)
    for file in ("cpuset.cpus", "cpuset.mems"):
        inherited = CGROUPS / "cpuset" / file
        if inherited.exists():
            # Empty in a new cgroup of version 1, and then no process can be put into it.
            (CGROUPS / "cpuset" / name / file).write_text(inherited.read_text())


def remove_cgroup(name: str, within: float = 10) -> None:
    """Remove it and all below it; its processes have ended, but the kernel may need a moment."""
    until = time.monotonic() + within
    while left := [path for path in (*CGROUPS.glob(f"*/{name}"), CGROUPS / name) if path.exists()]:
        for top in left:
            for folder, _below, _files in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
        if time.monotonic() > until:
            raise ClusterProblem(f"cgroups are still in use after {within:g} s: {left}")
        time.sleep(0.02)
