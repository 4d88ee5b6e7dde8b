"""Bringing a cluster up and taking it down; both are safe to repeat."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cluster import addons, machine, network, nodes
from cluster.audit import write_audit_policy
from cluster.folders import LOCKS, ClusterFiles
from cluster.locks import locked
from cluster.options import ClusterOptions, ClusterRecord
from cluster.parts import get_parts
from cluster.pki import make_cluster_pki
from cluster.problems import ClusterProblem
from cluster.running import START_LIMIT, Cluster
from cluster.waiting import wait_until


def silent(_line: str) -> None:
    """Tell nobody."""


def up(options: ClusterOptions, say: Callable[[str], None] = silent) -> Cluster:
    """Return the cluster when all that was asked for is ready.

    A cluster of the same name and options that is up, or half up, is completed.

    Args:
        options: what it is to be.
        say: is told each step with its time.

    Raises:
        ClusterProblem: no root, a part cannot be had, another cluster has the name, or
            something did not become ready in its time.
    """
    machine.require_root()
    parts = get_parts(kubelet=options.kubelet, kuberay=options.kuberay, say=say)
    network.require_free_range()
    with machine.lock_cluster(options.name):
        record = machine.claim(options, parts)
        if record.options != options:
            raise ClusterProblem(
                f"cluster {options.name} is there with other options "
                f"({_difference(record.options, options)}); take it down first: "
                f"`python -m cluster down {options.name}`"
            )
        cluster = Cluster(record)
        _start(cluster, _Clock(say))
    return cluster


def _difference(there: ClusterOptions, asked: ClusterOptions) -> str:
    before, now = there.model_dump(), asked.model_dump()
    return ", ".join(
        f"{field} is {before[field]} and not {now[field]}"
        for field in before
        if before[field] != now[field]
    )


def down(name: str, say: Callable[[str], None] = silent) -> None:
    """Take a cluster down and leave nothing of it; the programs in the cache stay.

    Raises:
        ClusterProblem: no root, or something does not go away.
    """
    machine.require_root()
    clock = _Clock(say)
    with machine.lock_cluster(name):
        record = next((found for found in machine.records() if found.options.name == name), None)
        if record is None:
            say(f"there is no cluster {name}")
            return
        for number in reversed(range(record.options.nodes)):
            nodes.stop_node(record, number)
        machine.release(name, after_the_last=network.remove_range)
    clock.step(f"cluster {name} is down")


@contextmanager
def lent(options: ClusterOptions, keep_logs: Path | None = None) -> Iterator[Cluster]:
    """Give a cluster that is there as long as the block runs, and never another run's.

    Its name is the one asked for and a digit. A cluster of that name which an ended run left
    behind is taken down first.

    Args:
        options: what it is to be.
        keep_logs: a folder that gets the logs of its programs.

    Raises:
        ClusterProblem: as `up` and `down` do, or ten runs have clusters of that name.
    """
    with ExitStack() as held:
        name = _reserve(options.name, held)
        down(name)
        try:
            yield up(options.model_copy(update={"name": name}))
        finally:
            if keep_logs is not None:
                _copy_logs(ClusterFiles(name), keep_logs)
            down(name)


def _reserve(prefix: str, held: ExitStack) -> str:
    """Return a name that no other run holds; it is this run's until the stack is closed."""
    for digit in range(10):
        name = f"{prefix}{digit}"
        lock = locked(LOCKS / f"smallmodel-lent-{name}.lock", f"cluster {name}", within=0)
        with contextlib.suppress(ClusterProblem):
            held.enter_context(lock)
            return name
    raise ClusterProblem(f"ten runs hold clusters named {prefix}: wait for one to end")


def _copy_logs(files: ClusterFiles, target: Path) -> None:
    for folder in sorted(files.root.glob("nodes/*/log")):
        node = files.node(int(folder.parent.name))
        shutil.copytree(folder, target / node.name, dirs_exist_ok=True)


class _Clock:
    """Tells each step with the seconds since the start."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._started = time.monotonic()

    def step(self, what: str) -> None:
        self._say(f"{time.monotonic() - self._started:6.1f} s  {what}")


def _start(cluster: Cluster, clock: _Clock) -> None:
    record = cluster.record
    options = record.options
    make_cluster_pki(ClusterFiles(options.name), record.addresses)
    write_audit_policy(ClusterFiles(options.name))
    for node in range(options.nodes):
        nodes.start_node(record, node)
        cluster.start_programs(node, "etcd", "containerd", "kube-apiserver")
    clock.step("namespaces, links and certificates are there")
    if options.kubelet:
        _import_images(cluster)
        clock.step("images are imported")
    cluster.wait_for_api_server()
    clock.step("the API server is ready")
    for node in range(options.nodes):
        cluster.start_programs(node)
    _apply_addons(cluster)
    clock.step("what runs in the cluster is applied")
    wait_until(
        lambda: not cluster.try_kubectl("get", "serviceaccount", "default").returncode,
        "the controller manager has made the default service account",
        START_LIMIT,
        (cluster.log("kube-controller-manager"),),
    )
    if options.kubelet:
        for node in range(options.nodes):
            cluster.wait_for_node(node)
        clock.step("nodes are Ready")
        _wait_for_addons(cluster)
    clock.step(f"cluster {options.name} is up")


def _import_images(cluster: Cluster) -> None:
    record = cluster.record
    for node in range(record.options.nodes):
        files = cluster.files.node(node)
        wait_until(
            files.containerd.exists,
            f"containerd of {files.name} listens",
            START_LIMIT,
            (files.log("containerd"),),
        )
    system = sorted(record.system_images.glob("*.tar")) if record.system_images else []
    for archive in (*system, *record.options.images):
        cluster.import_image(archive)


def _wanted_addons(record: ClusterRecord) -> list[tuple[str, str]]:
    """Return namespace and Deployment of each."""
    wanted = []
    if record.options.dns and record.options.kubelet:
        wanted.append(("kube-system", "coredns"))
    if record.options.kuberay and record.options.kubelet:
        wanted.append(("kuberay-system", "kuberay-operator"))
    return wanted


def _apply_addons(cluster: Cluster) -> None:
    record = cluster.record
    kuberay = record.kuberay
    if record.options.dns and record.options.kubelet:
        addons.apply_coredns(cluster, record.addresses)
    if kuberay is None:
        return
    jobs = record.options.kubelet
    addons.create_kuberay_crds(cluster, kuberay, jobs=jobs)
    if record.options.kubelet:
        addons.apply_kuberay(cluster, kuberay)
    wait_until(
        lambda: addons.kuberay_kinds_are_served(cluster, kuberay, jobs=jobs),
        "the API server serves KubeRay's kinds",
        START_LIMIT,
        (cluster.log("kube-apiserver"),),
    )


def _wait_for_addons(cluster: Cluster) -> None:
    for namespace, deployment in _wanted_addons(cluster.record):

        def available(namespace: str = namespace, deployment: str = deployment) -> bool:
            return addons.is_available(cluster, namespace, deployment)

        def pods(namespace: str = namespace) -> str:
            return cluster.try_kubectl("-n", namespace, "describe", "pods").stdout

        wait_until(
            available,
            f"Deployment {namespace}/{deployment} is available",
            START_LIMIT,
            (cluster.log("kubelet"),),
            pods,
        )
