"""The programs that come from Debian's packages."""

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.cache import cached, digest
from cluster.commands import attempt, run
from cluster.problems import ClusterProblem

# Installed on the machine: a program that tells whether it is there, and its package.
INSTALLED: Final = {
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "nft": "nftables",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "busybox": "busybox-static",
    "ip": "iproute2",
    "unshare": "util-linux",
    "openssl": "openssl",
}
SUITE: Final = "forky"
_KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """A package of a newer Debian, unpacked beside the system and not installed.

    Attributes:
        package: its name.
        program: the program in it whose version counts.
        asks: the arguments that make it tell its version.
        oldest: the first version, major and minor, that was seen to work.
        below: the first one that is not expected to.
    """

    package: str
    program: str
    asks: tuple[str, ...]
    oldest: tuple[int, int]
    below: tuple[int, int]


# The suite moves on, so versions are checked instead of named. kubectl may be one minor version
# away from the API server, etcd is the one that Kubernetes 1.36 is tested with.
UNPACKED: Final = (
    Unpacked(
        package="containerd",
        program="containerd",
        asks=("--version",),
        oldest=(2, 1),
        below=(3, 0),
    ),
    Unpacked(
        package="etcd-server", program="etcd", asks=("--version",), oldest=(3, 5), below=(3, 7)
    ),
    Unpacked(
        package="kubectl",
        program="kubectl",
        asks=("version", "--client"),
        oldest=(1, 35),
        below=(1, 38),
    ),
)


def install_missing(say: Callable[[str], None], programs: Mapping[str, str] = INSTALLED) -> None:
    """Install what is not there, of programs with their packages; needs root and apt."""
    missing = sorted({package for program, package in programs.items() if not _is_there(program)})
    if not missing:
        return
    _require_apt(f"install {' '.join(missing)}")
    say(f"installing {' '.join(missing)}")
    run("apt-get", "update", "-q", within=300)
    run(
        "apt-get", "install", "-qy", "--no-install-recommends", *missing,
        environment={"DEBIAN_FRONTEND": "noninteractive"}, within=600,
    )  # fmt: skip


def _is_there(program: str) -> bool:
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return shutil.which(program, path=path) is not None


def unpacked(say: Callable[[str], None]) -> Path:
    """Return the folder with containerd, etcd and kubectl, which is filled once."""

    def fill(folder: Path) -> None:
        say("unpacking containerd, etcd and kubectl from Debian's packages, once")
        _unpack(folder)

    folder = cached("debian", digest([SUITE, repr(UNPACKED)]), fill)
    return folder / "usr" / "bin"


def _unpack(folder: Path) -> None:
    _require_apt("download packages")
    work = folder / "apt"
    for needed in ("lists/partial", "cache/archives/partial"):
        (work / needed).mkdir(parents=True)
    sources = work / "sources.list"
    sources.write_text(f"deb [signed-by={_KEYRING}] {_mirror()} {SUITE} main\n")
    # None of the system's own lists and caches is read or written.
    options = [
        f"-oDir::Etc::sourcelist={sources}",
        "-oDir::Etc::sourceparts=/dev/null",
        f"-oDir::State::lists={work}/lists",
        f"-oDir::Cache={work}/cache",
        # Mirrors may lag behind their own release file; its signature is checked all the same.
        "-oAcquire::Check-Valid-Until=false",
        # apt's own user cannot write into a folder of root's.
        "-oAPT::Sandbox::User=root",
    ]
    run("apt-get", *options, "-q", "update", within=300)
    wanted = [f"{entry.package}/{SUITE}" for entry in UNPACKED]
    run("apt-get", *options, "-q", "download", *wanted, folder=work, within=600)
    for package in sorted(work.glob("*.deb")):
        run("dpkg-deb", "-x", package, folder, within=120)
    shutil.rmtree(work)
    for entry in UNPACKED:
        check_version(entry, folder / "usr" / "bin" / entry.program)


def check_version(entry: Unpacked, program: Path) -> None:
    """Raise ClusterProblem when a program has a version that was not tried."""
    answer = attempt(program, *entry.asks)
    found = version_in(answer.stdout + answer.stderr)
    if found is None or not entry.oldest <= found < entry.below:
        lowest = ".".join(map(str, entry.oldest))
        highest = ".".join(map(str, entry.below))
        raise ClusterProblem(
            f"Debian {SUITE}'s {entry.package} is not of a version that is known to work: "
            f"from {lowest}, below {highest}. It says:\n{answer.stdout}{answer.stderr}"
        )


def version_in(text: str) -> tuple[int, int] | None:
    """Return the first version that a program tells, major and minor."""
    found = re.search(r"(?<![\w.])v?(\d+)\.(\d+)\.\d+", text)
    return (int(found[1]), int(found[2])) if found else None


def _mirror() -> str:
    """Return the mirror that the machine itself uses."""
    listed = Path("/etc/apt/sources.list.d/debian.sources")
    if listed.exists():
        for line in listed.read_text().splitlines():
            if line.startswith("URIs:"):
                return line.split()[1]
    return "http://deb.debian.org/debian"


def _require_apt(purpose: str) -> None:
    if shutil.which("apt-get") is None or not Path(_KEYRING).exists():
        raise ClusterProblem(
            f"needs Debian's apt-get and archive keyring to {purpose}. On another system, give "
            "the tests a cluster of your own: --kubeconfig FILE"
        )
