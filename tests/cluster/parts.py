"""Everything that a cluster is made of, found or made."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cluster import archive, debian, golang, images
from cluster.cache import cached, digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Where the parts lie.

    Attributes:
        path: folders with programs, as PATH has them.
        system_images: a folder of docker-archive files; None for a control plane alone.
        kuberay: a folder with KubeRay's CRDs and role; None when it was not asked for.
    """

    path: str
    system_images: Path | None
    kuberay: Path | None


def get_parts(*, kubelet: bool, kuberay: bool, say: Callable[[str], None]) -> Parts:
    """Return the parts, which takes a quarter of an hour on two processors the first time.

    Args:
        kubelet: False for what a control plane alone needs.
        kuberay: False where neither KubeRay nor its kinds are wanted.
        say: is told what is made, if it is not in the cache.

    Raises:
        ClusterProblem: something cannot be had.
    """
    debian.install_missing(say)
    programs = [golang.kube()]
    if kubelet:
        programs += [golang.pause(), golang.coredns()]
    if kuberay:
        programs.append(golang.kuberay())
    folders = {program.output: program.build(say) for program in programs}
    unpacked = debian.unpacked(say)
    links = cached(
        "programs",
        digest([str(folders["kube"])]),
        lambda folder: golang.link_kube_programs(folder, folders["kube"]),
    )
    return Parts(
        path=f"{links}:{unpacked}",
        system_images=_system_images(folders) if kubelet else None,
        kuberay=folders.get("kuberay-operator"),
    )


def _system_images(folders: dict[str, Path]) -> Path:
    busybox = Path(shutil.which("busybox") or "/usr/bin/busybox")
    operator = folders.get("kuberay-operator")
    recipe = [Path(module.__file__ or "").read_bytes() for module in (images, archive)]
    key = digest([*recipe, *(str(folder) for folder in folders.values()), busybox.read_bytes()])
    return cached(
        "images",
        key,
        lambda folder: images.write_system_images(
            folder,
            pause=folders["pause"] / "pause",
            coredns=folders["coredns"] / "coredns",
            kuberay=operator / "kuberay-operator" if operator else None,
            busybox=busybox,
        ),
    )
