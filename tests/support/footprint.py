"""What a machine has outside of files: what a cluster might leave behind."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from cluster import control, machine
from cluster.commands import run
from cluster.folders import ClusterFiles

# Folders in which programs of a cluster might make others of their own.
_FOLDERS = ("/", "/etc", "/opt", "/run", "/usr/lib", "/usr/libexec", "/var/lib", "/var/log")


def footprint(prefix: str) -> dict[str, frozenset[str]]:
    """List the machine's namespaces, mounts, network and cgroups, a kind of thing each.

    Args:
        prefix: of the names of the clusters that are looked at. What belongs to others, which
            come and go with other tests, is left out.
    """
    listed: dict[str, Iterable[str]] = {
        "cgroups": (str(path) for path in machine.CGROUPS.glob("**/") if "slm-" in str(path)),
        "firewall": [*run("nft", "list", "ruleset").splitlines(), *_rules(run("iptables-save"))],
        "folders": (
            str(path) for folder in _FOLDERS for path in Path(folder).glob("*") if path.is_dir()
        ),
        "links": os.listdir("/sys/class/net"),
        "mounts": (
            line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()
        ),
        "named network namespaces": run("ip", "netns", "list").splitlines(),
        "namespaces": _namespaces(prefix),
        "routes": (
            line.strip()
            for table in ("main", "local")
            for line in run("ip", "route", "show", "table", table).splitlines()
        ),
        "routing rules": run("ip", "rule", "list").splitlines(),
        "sysctls": (
            f"{name} = {(machine.PROC_SYS / name).read_text().strip()}"
            for name in (*machine.SYSCTLS, "net/ipv4/ip_forward")
        ),
    }
    others = _marks_of_others(prefix)
    return {
        kind: frozenset(thing for thing in things if not any(mark in thing for mark in others))
        for kind, things in listed.items()
    }


def _marks_of_others(prefix: str) -> list[str]:
    """Return what the names of other clusters' cgroups, links and routes have in them."""
    others = [found for found in machine.records() if not found.options.name.startswith(prefix)]
    return [
        mark for record in others for mark in (f"slm-{record.options.name}-", f"slm{record.index}n")
    ]


def _namespaces(prefix: str) -> set[str]:
    """Return the namespaces in which any process runs: where one is left, so is the process."""
    others = _marks_of_others(prefix)
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        # It has ended meanwhile, or is one that not even root may look at.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            groups = (process / "cgroup").read_text()
            if not any(mark in groups for mark in others):
                found |= _namespaces_of(int(process.name))
    for record in machine.records():
        if not record.options.name.startswith(prefix):
            for node in range(record.options.nodes):
                pid = control.init_pid(ClusterFiles(record.options.name).node(node).control)
                found -= _namespaces_of(pid) if pid else set()
    return found


def _namespaces_of(pid: int) -> set[str]:
    return {os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("mnt", "net", "pid")}


def _rules(saved: str) -> list[str]:
    """Drop comments and counters from what iptables-save says."""
    return [line.split(" [")[0] for line in saved.splitlines() if not line.startswith("#")]
