"""What a machine has outside of files: what a cluster might leave behind."""

import contextlib
import os
from pathlib import Path

from cluster import machine
from cluster.commands import run

# Folders in which programs of a cluster might make others of their own.
_FOLDERS = ("/", "/etc", "/opt", "/run", "/usr/lib", "/usr/libexec", "/var/lib", "/var/log")


def footprint() -> dict[str, frozenset[str]]:
    """List the machine's namespaces, mounts, network and cgroups, a kind of thing each."""
    return {
        "cgroups": frozenset(
            str(path) for path in machine.CGROUPS.glob("**/") if "slm-" in str(path)
        ),
        "firewall": frozenset(run("nft", "list", "ruleset").splitlines())
        | frozenset(_rules(run("iptables-save"))),
        "folders": frozenset(
            str(path) for folder in _FOLDERS for path in Path(folder).glob("*") if path.is_dir()
        ),
        "links": frozenset(os.listdir("/sys/class/net")),
        "mounts": frozenset(
            line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()
        ),
        "named network namespaces": frozenset(run("ip", "netns", "list").splitlines()),
        "namespaces": namespaces(),
        "routes": frozenset(
            line.strip()
            for table in ("main", "local")
            for line in run("ip", "route", "show", "table", table).splitlines()
        ),
        "routing rules": frozenset(run("ip", "rule", "list").splitlines()),
        "sysctls": frozenset(
            f"{name} = {Path('/proc/sys', name).read_text().strip()}"
            for name in (*machine.SYSCTLS, "net/ipv4/ip_forward")
        ),
    }


def namespaces() -> frozenset[str]:
    """Return the namespaces in which any process runs: where one is left, so is the process."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        for kind in ("mnt", "net", "pid"):
            # It has ended meanwhile, or is one that not even root may look at.
            with contextlib.suppress(FileNotFoundError, PermissionError):
                found.add(os.readlink(process / "ns" / kind))
    return frozenset(found)


def _rules(saved: str) -> list[str]:
    """Drop comments and counters from what iptables-save says."""
    return [line.split(" [")[0] for line in saved.splitlines() if not line.startswith("#")]
