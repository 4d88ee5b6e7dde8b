"""Three clusters far from each other: one in the cloud, one on premises, one at the edge."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from cluster import bringup, serving_images
from cluster.options import ClusterOptions
from cluster.running import Cluster
from cluster.wan import Wan

CLOUD: Final = "cloud"
ONPREM: Final = "onprem"
EDGE: Final = "edge"

_MEMORY: Final = {CLOUD: None, ONPREM: None, EDGE: 6144}
"""MiB for pods: the edge has room for one small pool."""
_IMAGES: Final = (serving_images.OPERATOR, serving_images.SERVING_CPU)


def up(prefix: str, say: Callable[[str], None]) -> dict[str, Cluster]:
    """Return the clusters when all are up, have the project's images, and are joined by lines.

    Args:
        prefix: of their names, so that several runs have their own.
        say: is told each step.

    Raises:
        ClusterProblem: as `bringup.up` does.
    """
    clusters = {name: bringup.up(_options(prefix, name), say) for name in _MEMORY}
    import_images(clusters)
    say("the images of this checkout are imported")
    lines(prefix, clusters).join()
    say("the lines between them are there; the edge is behind a NAT")
    return clusters


def down(prefix: str, say: Callable[[str], None]) -> None:
    """Take all of them down, and the lines, and leave nothing of them."""
    lines(prefix, {}).leave()
    for name in _MEMORY:
        bringup.down(f"{prefix}{name}", say)


def find(prefix: str) -> dict[str, Cluster]:
    """Return the clusters that an earlier run brought up.

    Raises:
        ClusterProblem: One of them is not there.
    """
    return {name: Cluster.find(f"{prefix}{name}") for name in _MEMORY}


@contextmanager
def lent(prefix: str, keep_logs: Path | None) -> Iterator[tuple[dict[str, Cluster], Wan]]:
    """Give the three and their lines as long as the block runs, and never another run's."""
    with ExitStack() as held:
        clusters = {
            name: held.enter_context(bringup.lent(_options(prefix, name), keep_logs=keep_logs))
            for name in _MEMORY
        }
        import_images(clusters)
        wan = lines(clusters[CLOUD].name, clusters)
        wan.join()
        held.callback(wan.leave)
        yield clusters, wan


def lines(prefix: str, clusters: dict[str, Cluster]) -> Wan:
    """Return the lines between them, by the names `cloud`, `onprem` and `edge`."""
    return Wan(prefix or "hybrid", clusters, {EDGE} & clusters.keys())


def import_images(clusters: dict[str, Cluster]) -> None:
    """Give every cluster the images, built from this checkout."""
    with TemporaryDirectory() as folder:
        for archive in serving_images.build(_IMAGES, Path(folder)):
            for cluster in clusters.values():
                cluster.import_image(archive)


def _options(prefix: str, name: str) -> ClusterOptions:
    return ClusterOptions(name=f"{prefix}{name}", memory=_MEMORY[name])
