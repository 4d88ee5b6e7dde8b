"""Making and ending the namespaces in which a node's programs run."""

import json
import os
import signal
import sys
from pathlib import Path

from cluster import control, machine, network
from cluster.commands import SYSTEM_PATH, run
from cluster.configuration import write_configuration
from cluster.folders import TESTS, ClusterFiles
from cluster.options import ClusterRecord
from cluster.pki import make_node_pki
from cluster.programs import SPARE_MEMORY, command_lines
from cluster.waiting import wait_until


def start_node(record: ClusterRecord, number: int) -> None:
    """Make a node's namespaces, where its init process waits for orders. Safe to repeat."""
    files = ClusterFiles(record.options.name)
    node = files.node(number)
    if control.init_pid(node.control) is not None:
        return
    node.logs.mkdir(parents=True, exist_ok=True)
    files.etcd.mkdir(mode=0o700, exist_ok=True)
    if record.options.kubelet:
        make_node_pki(files, record.addresses, number)
        write_configuration(node, record.addresses, record.options)
        (node.root / "kubelet").mkdir(exist_ok=True)
        machine.make_cgroup(node.cgroup)
    node.control.unlink(missing_ok=True)
    Path(f"{node.control}.new").unlink(missing_ok=True)
    node.plan.write_text(json.dumps(_plan(record, number), indent=1))
    _spawn(node.plan, node.log("init"))
    pids: list[int | None] = [None]

    def listens() -> bool:
        pids[0] = control.init_pid(node.control)
        return pids[0] is not None

    wait_until(
        listens,
        f"the namespaces of {node.name} are made",
        within=20,
        logs=(node.log("init"),),
    )
    assert pids[0] is not None
    network.connect(record.addresses, number, pids[0])


def stop_node(record: ClusterRecord, number: int) -> None:
    """End everything on a node at once, as if its power were cut. Safe to repeat."""
    node = ClusterFiles(record.options.name).node(number)
    pid = control.init_pid(node.control)
    if pid is not None:
        # The kernel ends every process of the namespace before this one is gone. The mounts go
        # with the last process that saw them, which is the one that made the namespaces.
        maker = _parent(pid)
        os.kill(pid, signal.SIGKILL)
        wait_until(
            lambda: _ended(pid) and _ended(maker),
            f"the processes of {node.name} have ended",
            within=30,
        )
    network.disconnect(record.addresses.node(number).link)
    machine.remove_cgroup(node.cgroup)


def _status(pid: int) -> dict[str, str]:
    """Return what the kernel tells of a process, nothing when there is none."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def _parent(pid: int) -> int:
    return int(_status(pid).get("PPid", "0"))


def _ended(pid: int) -> bool:
    """Say whether a process is gone, or waits only to be taken note of."""
    return _status(pid).get("State", "Z")[0] in "ZX"


def _spawn(plan: Path, log: Path) -> None:
    """Start a node's init process, which outlives this one."""
    environment = {
        "PATH": SYSTEM_PATH,
        "PYTHONPATH": str(TESTS),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LANG": "C.UTF-8",
    }
    variables = [f"{name}={value}" for name, value in environment.items()]
    shell = 'exec >>"$1" 2>&1; shift; exec setsid --fork "$@"'
    namespaces = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child")
    run("sh", "-c", shell, "sh", log, "env", "--ignore-environment", *variables, *namespaces,
        sys.executable, "-m", "cluster.init", plan, folder=Path("/"))  # fmt: skip


def _plan(record: ClusterRecord, number: int) -> dict[str, object]:
    files = ClusterFiles(record.options.name)
    node = files.node(number)
    lines = command_lines(files, record.addresses, number, kubelet=record.options.kubelet)
    environment = {
        "PATH": f"{record.path}:{SYSTEM_PATH}",
        "HOME": "/",
        "LANG": "C.UTF-8",
    }
    sparing = SPARE_MEMORY if record.options.spare_memory else {}
    programs = {
        name: {
            "argv": line,
            "environment": {**environment, **sparing.get(name, {})},
            "log": str(node.log(name)),
        }
        for name, line in lines.items()
    }
    furnish = {
        # All that containerd, runc, CNI and iptables keep outside of the node's own folder.
        "tmpfs": ["/run", "/var/lib/cni", "/var/log/containers"],
        "binds": [[str(node.root / "kubelet"), "/var/lib/kubelet"]],
        "folders": ["/run/netns", "/run/lock"],
        "sysctls": {
            "net/ipv4/ip_forward": "1",
            "net/ipv4/conf/all/rp_filter": "0",
            "net/ipv4/conf/default/rp_filter": "0",
        },
    }
    if not record.options.kubelet:
        furnish |= {"tmpfs": ["/run"], "binds": []}
    return {"control": str(node.control), "furnish": furnish, "programs": programs}
