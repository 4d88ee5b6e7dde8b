"""The images that the cluster itself needs, and the import of images into its nodes."""

from pathlib import Path
from typing import Final

from cluster.archive import Image
from cluster.commands import run
from cluster.folders import NodeFiles

PAUSE: Final = "localhost/pause:1"
COREDNS: Final = "localhost/coredns:1"
KUBERAY: Final = "localhost/kuberay-operator:1"
BUSYBOX: Final = "localhost/busybox:1"

# What tests run in a pod; busybox finds its program by the name that it is called by.
_APPLETS: Final = (
    "cat", "date", "echo", "env", "false", "httpd", "id", "ls", "nc", "nslookup", "sh", "sleep",
    "test", "touch", "true",
)  # fmt: skip


def write_system_images(
    folder: Path, *, pause: Path, coredns: Path, kuberay: Path | None, busybox: Path
) -> None:
    """Write all of them into a folder, given the programs that are in them."""
    applets = {f"/bin/{name}": "busybox" for name in _APPLETS}
    found = [
        Image(name=PAUSE, files={"/pause": pause}, entrypoint=["/pause"], user="65535:65535"),
        Image(name=COREDNS, files={"/coredns": coredns}, entrypoint=["/coredns"]),
        Image(
            name=BUSYBOX,
            files={"/bin/busybox": busybox},
            links=applets,
            entrypoint=["/bin/busybox"],
        ),
    ]
    if kuberay:
        found.append(
            Image(
                name=KUBERAY,
                files={"/manager": kuberay},
                entrypoint=["/manager"],
                user="1000:1000",
            )
        )
    for image in found:
        file = image.name.removeprefix("localhost/").replace(":", "-")
        image.write(folder / f"{file}.tar")


def import_archive(node: NodeFiles, archive: Path, ctr: Path) -> None:
    """Give a docker-archive file's images to a node.

    Raises:
        ClusterProblem: containerd does not take them.
    """
    _images(node, ctr, "import", str(archive), within=600)


def tag_image(node: NodeFiles, name: str, other: str, ctr: Path) -> None:
    """Give an image of a node another name as well.

    Raises:
        ClusterProblem: containerd does not have it.
    """
    _images(node, ctr, "tag", "--force", name, other, within=60)


def _images(node: NodeFiles, ctr: Path, *words: str, within: float) -> None:
    # ctr takes an absolute socket path only.
    run(ctr, "--address", node.containerd, "--namespace", "k8s.io", "images", *words,
        within=within)  # fmt: skip
