"""The programs that are built from Go modules."""

import json
import os
import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from cluster.cache import cached, digest
from cluster.commands import attempt, run
from cluster.problems import ClusterProblem

SOURCES: Final = Path(__file__).parent / "go"
KUBERAY_MODULE: Final = "github.com/ray-project/kuberay/ray-operator"
KUBE_PROGRAMS: Final = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
)
# Raised when the form of KubeRay's kept manifests changes, so that they are made again.
_MANIFESTS_FORM: Final = "2"
_ENVIRONMENT: Final[Mapping[str, str]] = {
    "CGO_ENABLED": "0",
    "GOFLAGS": "-buildvcs=false",
    "GOTOOLCHAIN": "local",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GoProgram:
    """One program and the module folder in which it is built.

    Attributes:
        folder: its name below `go/`.
        output: the program's file name.
        package: what is built.
        module: the module whose version decides what the program is, if it is not our own.
        stamp: linker variables.
    """

    folder: str
    output: str
    package: str = "."
    module: str | None = None
    stamp: Mapping[str, str] = field(default_factory=dict)

    def flags(self) -> list[str]:
        values = [f"-X {name}={value}" for name, value in sorted(self.stamp.items())]
        return ["-mod=readonly", "-trimpath", "-ldflags", " ".join(["-s -w", *values])]

    def key(self) -> str:
        """Return a digest of all that decides what is built."""
        source = SOURCES / self.folder
        files = sorted(path for path in source.iterdir() if path.suffix in {".go", ".mod", ".sum"})
        named = [part for path in files for part in (path.name, path.read_bytes())]
        recipe = _MANIFESTS_FORM if self.module == KUBERAY_MODULE else ""
        return digest([*named, self.package, *self.flags(), platform.machine(), recipe])

    def build(self, say: Callable[[str], None]) -> Path:
        """Return the cached folder with the program, which is built if it is not there."""
        return cached(self.output, self.key(), lambda folder: self._fill(folder, say))

    def _fill(self, folder: Path, say: Callable[[str], None]) -> None:
        say(f"building {self.output} from its Go modules, once")
        require_go()
        source = SOURCES / self.folder
        if self.module:
            self._download(source, self.module)
        run(
            "go", "build", *self.flags(), "-o", folder / self.output, self.package,
            folder=source, environment=dict(_ENVIRONMENT), within=3600,
        )  # fmt: skip
        if self.module == KUBERAY_MODULE:
            _copy_kuberay_manifests(source, folder)

    def _download(self, source: Path, module: str) -> None:
        got = attempt(
            "go", "mod", "download", module,
            folder=source, environment=dict(_ENVIRONMENT), within=1800,
        )  # fmt: skip
        if got.returncode:
            proxy = run("go", "env", "GOPROXY", folder=source).strip()
            raise ClusterProblem(
                f"the Go module proxy ({proxy}) does not give out {module} in the version that "
                f"{source / 'go.mod'} names. Nothing is wrong with the checkout: proxies decide "
                "this version by version. Set GOPROXY to one that has it, or name a version that "
                f"this one has.\n{got.stderr.strip()}"
            )


def kube() -> GoProgram:
    """Return the Kubernetes servers, in one file."""
    version = _version_in(SOURCES / "kube" / "go.mod", "k8s.io/kubernetes")
    major, minor, _patch = version.removeprefix("v").split(".")
    values = {
        "gitVersion": version,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "archive",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    stamp = {f"{package}.{name}": value for package in packages for name, value in values.items()}
    return GoProgram(folder="kube", output="kube", module="k8s.io/kubernetes", stamp=stamp)


def coredns() -> GoProgram:
    """Return the cluster's name server."""
    return GoProgram(folder="coredns", output="coredns", module="github.com/coredns/coredns")


def kuberay() -> GoProgram:
    """Return the KubeRay operator."""
    return GoProgram(
        folder="kuberay",
        output="kuberay-operator",
        package=KUBERAY_MODULE,
        module=KUBERAY_MODULE,
    )


def pause() -> GoProgram:
    """Return what holds a pod's namespaces open."""
    return GoProgram(folder="pause", output="pause")


def require_go() -> None:
    """Raise ClusterProblem when there is no Go compiler."""
    if shutil.which("go") is None:
        raise ClusterProblem(
            "Kubernetes is built from its Go modules and no `go` is on the PATH: install "
            "Go 1.26 or newer (https://go.dev/dl/)"
        )


def kuberay_version() -> str:
    """Return KubeRay's version, as in `v1.6.2`."""
    return _version_in(SOURCES / "kuberay" / "go.mod", KUBERAY_MODULE)


def _version_in(go_mod: Path, module: str) -> str:
    for line in go_mod.read_text().splitlines():
        words = line.removeprefix("require").split()
        if words[:1] == [module]:
            return words[1]
    raise ClusterProblem(f"{go_mod} does not require {module}")


def _copy_kuberay_manifests(source: Path, folder: Path) -> None:
    """Keep KubeRay's CRDs and role beside the program, so that a warm cache needs no modules."""
    listed = run(
        "go", "list", "-m", "-f", "{{.Dir}}", KUBERAY_MODULE,
        folder=source, environment=dict(_ENVIRONMENT),
    )  # fmt: skip
    module = Path(listed.strip())
    crds = folder / "crds"
    crds.mkdir()
    for manifest in sorted((module / "config" / "crd" / "bases").glob("*.yaml")):
        definition = yaml.load(manifest.read_bytes(), Loader=yaml.CSafeLoader)
        for version in definition["spec"]["versions"]:
            version["schema"]["openAPIV3Schema"] = without_descriptions(
                version["schema"]["openAPIV3Schema"]
            )
        (crds / f"{manifest.stem}.json").write_text(json.dumps(definition))
    (folder / "role.yaml").write_bytes((module / "config" / "rbac" / "role.yaml").read_bytes())


def without_descriptions(schema: Any) -> Any:
    """Return a CRD's schema without its texts, which are most of KubeRay's 4 MB.

    The API server takes seconds and hundreds of MiB less, and what it accepts is the same.
    """
    if isinstance(schema, list):
        return [without_descriptions(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        # The keys of `properties` are fields, and one of them may be called description.
        key: {name: without_descriptions(field) for name, field in value.items()}
        if key == "properties"
        else without_descriptions(value)
        for key, value in schema.items()
        if not (key == "description" and isinstance(value, str))
    }


def link_kube_programs(folder: Path, kube_folder: Path) -> None:
    """Give the one file its five names."""
    for name in KUBE_PROGRAMS:
        os.symlink(kube_folder / "kube", folder / name)
