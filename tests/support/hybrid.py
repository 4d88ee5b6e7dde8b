"""A hub in the cloud, a cluster on premises and one at the edge, as platform teams have them."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from cluster import hybrid, serving_images
from cluster.addons import make_volume
from cluster.running import Cluster
from cluster.waiting import wait_until
from cluster.wan import Wan
from support.command_line import Outcome
from support.installation import MODEL, ROOT, SYSTEM, Installed, Team, installed

CLOUD: Final = "local"
"""The hub's own cluster, by the name of its ModelCluster. Lines call it `cloud`."""
ONPREM: Final = hybrid.ONPREM
EDGE: Final = hybrid.EDGE
GATEWAY_PORT: Final = 30843
_NODE_PORT: Final = {"type": "NodePort", "nodePort": GATEWAY_PORT}
SLM: Final = Path(sys.executable).with_name("slm")

DECLARED: Final[Mapping[str, Mapping[str, Any]]] = {
    one["metadata"]["name"]: one["spec"]
    for one in yaml.safe_load_all((ROOT / "examples/three-clusters/clusters.yaml").read_text())
}
"""The cloud is the cheapest by far, and the edge the dearest."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy of a model, as the SmallModel's status tells it."""

    cluster: str
    state: str


@dataclass(slots=True, kw_only=True)
class HybridTeam:
    """A namespace that every cluster has, and models in it.

    Attributes:
        hub: It, on the hub.
        sites: It, by the names of the ModelClusters.
    """

    hub: Team
    sites: dict[str, Team]

    @property
    def namespace(self) -> str:
        """The namespace."""
        return self.hub.namespace

    def serve(
        self,
        name: str,
        *,
        placement: Mapping[str, Any] | None = None,
        data: Mapping[str, str] | None = None,
        **spec: Any,
    ) -> None:
        """Apply a model.

        Args:
            name: Its name.
            placement: Where it may be.
            data: What it reads in an hour, by DataSource.
            spec: Further fields of its spec.
        """
        wanted: dict[str, Any] = {"model": MODEL, "contextLength": 1024, **spec}
        if placement:
            wanted["placement"] = dict(placement)
        if data:
            wanted["data"] = [{"name": one, "readPerHour": read} for one, read in data.items()]
        self.hub.apply_model(name, **wanted)

    def source(self, name: str, *sites: str, jurisdictions: tuple[str, ...] = ()) -> None:
        """Declare data that lies at these sites, and the law that binds it."""
        spec: dict[str, Any] = {"locations": [{"site": site} for site in sites]}
        if jurisdictions:
            spec["residency"] = {"jurisdictions": list(jurisdictions)}
        self.hub.apply(
            {
                "apiVersion": "smallmodel.dev/v1alpha1",
                "kind": "DataSource",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": spec,
            }
        )

    def copies(self, name: str) -> list[Copy]:
        """Return where the model is."""
        told = self.hub.model(name).get("status", {}).get("copies") or ()
        return [Copy(cluster=one["cluster"], state=one["state"]) for one in told]

    def reasons(self, name: str) -> dict[str, str]:
        """Return what was said of each cluster, in one word."""
        decision = self.hub.model(name).get("status", {}).get("decision") or {}
        return {one["cluster"]: one["reason"] for one in decision.get("candidates") or ()}

    def wait_on(self, name: str, *clusters: str, within: float = 240) -> None:
        """Wait until the model answers in these clusters, and is in no other one."""

        def there() -> bool:
            return set(self.copies(name)) == {Copy(one, "Serving") for one in clusters}

        wait_until(
            there,
            f"{name} answers on {', '.join(clusters)}",
            within=within,
            explain=lambda: json.dumps(self.hub.model(name).get("status"), indent=1),
        )

    def mirrors(self, cluster: str) -> set[tuple[str, int]]:
        """Return the models that were carried to a cluster, with their most replicas there."""
        found = self.sites[cluster].cluster.get("-n", SYSTEM, "modelplacements")["items"]
        specs = [
            one["spec"] for one in found if one["spec"]["model"]["namespace"] == self.namespace
        ]
        return {(one["model"]["name"], one["scaling"]["maxReplicas"]) for one in specs}

    def pool_uids(self, cluster: str) -> set[str]:
        """Return the UIDs of the pools that a cluster has for this namespace."""
        found = self.sites[cluster].cluster.get("-n", self.namespace, "rayservices")
        return {pool["metadata"]["uid"] for pool in found["items"]}


@dataclass(slots=True, kw_only=True)
class Hybrid:
    """Three clusters, and the lines between them.

    Attributes:
        hub: The operator's installation.
        clusters: All three, by the names of their ModelClusters.
        volumes: A folder that all nodes see.
        wan: The lines.
        members: What is installed in the others.
    """

    hub: Installed
    clusters: dict[str, Cluster]
    volumes: Path
    wan: Wan
    members: dict[str, Installed] = field(default_factory=dict)
    teams: list[HybridTeam] = field(default_factory=list)

    @property
    def installed(self) -> dict[str, Installed]:
        """What is installed in each cluster."""
        return {CLOUD: self.hub, **self.members}

    @property
    def hub_id(self) -> str:
        """The installation's id."""
        labels = self.hub.cluster.get("modelcluster", CLOUD)["metadata"]["labels"]
        return str(labels["smallmodel.dev/hub"])

    def slm(self, *words: str | Path, within: float = 90) -> Outcome:
        """Run `slm` with the hub's kubeconfig."""
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.hub.cluster.kubeconfig),
            "SLM_TARGET": "cluster",
        }
        ended = subprocess.run(
            [SLM, *words], env=environment, capture_output=True, text=True, timeout=within,
            check=False,
        )  # fmt: skip
        assert "Traceback" not in ended.stderr, ended.stderr
        return Outcome(ended.returncode, ended.stdout, ended.stderr)

    def declare(self, cluster: str, **spec: Any) -> None:
        """Declare something else of a cluster; None takes back what was declared."""
        self.hub.cluster.kubectl(
            "patch", "modelcluster", cluster, "--type=merge", "-p", json.dumps({"spec": spec})
        )

    def join_push(self, name: str) -> str:
        """Join a cluster whose API server the hub calls, and return what was printed."""
        cluster = self.clusters[name]
        joined = self.slm(
            "cluster", "join", name, "--kubeconfig", cluster.kubeconfig,
            "--server", f"https://{cluster.record.addresses.api_server}:6443",
        )  # fmt: skip
        assert joined.code == 0, joined
        return joined.out

    def join_pull(self, name: str) -> str:
        """Join a cluster whose agent calls the hub, and return what was printed."""
        cluster = self.clusters[name]
        joined = self.slm(
            "cluster", "join", name, "--mode", "pull", "--kubeconfig", cluster.kubeconfig,
            "--hub-server", f"https://{self.clusters[CLOUD].record.addresses.api_server}:6443",
        )  # fmt: skip
        assert joined.code == 0, joined
        return joined.out

    def join(self, name: str) -> None:
        """Join a cluster once more, as it was joined."""
        join = {ONPREM: self.join_push, EDGE: self.join_pull}[name]
        join(name)

    def revoke(self, name: str) -> None:
        """Take away the credential that joins a cluster to the hub, where it was given."""
        given = {
            ONPREM: (self.clusters[ONPREM], SYSTEM, "smallmodel-hub-token"),
            EDGE: (self.hub.cluster, f"slm-cluster-{EDGE}", "smallmodel-agent-token"),
        }
        cluster, namespace, secret = given[name]
        cluster.kubectl("-n", namespace, "delete", "secret", secret)

    def operators(self) -> dict[str, str]:
        """Return the processes of the operator and of the agent, by cluster."""
        selector = "app.kubernetes.io/component=operator"
        return {
            name: " ".join(
                sorted(
                    state["containerID"]
                    for pod in cluster.get("-n", SYSTEM, "pods", "-l", selector)["items"]
                    for state in pod["status"]["containerStatuses"]
                )
            )
            for name, cluster in self.clusters.items()
        }

    def install_member(self, name: str) -> None:
        """Install the gateway in a cluster that the hub works on, and declare its address."""
        self._install(name, role="Member")
        self.declare(name, gateway={"address": self.gateway_address(name)})

    def install_agent(self, name: str) -> None:
        """Install the agent, and the gateway, in a cluster that the hub cannot call."""
        self._install(name, role="Agent", agent={"clusterName": name, "hubID": self.hub_id})

    def _install(self, name: str, **values: Any) -> None:
        volumes = self.volumes / name
        volumes.mkdir(exist_ok=True)
        jurisdiction = {"cluster": {"jurisdiction": self.country(name)}}
        made = Installed(
            cluster=self.clusters[name],
            volumes=volumes,
            values=self.hub.values | values | jurisdiction,
            wheels=self.hub.wheels,
            # `slm cluster join` made the definition of placements, as its output says.
            helm_flags=("--take-ownership",),
        )
        made.install()
        self.members[name] = made

    def gateway_address(self, name: str) -> str:
        """Return where other clusters reach a cluster's gateway."""
        return f"https://{self.clusters[name].record.addresses.api_server}:{GATEWAY_PORT}"

    def country(self, name: str) -> str:
        """Return whose law holds in a cluster."""
        return str(DECLARED[name]["jurisdiction"])

    def status_of(self, name: str) -> dict[str, Any]:
        """Return what the hub says of a cluster."""
        found: dict[str, Any] = self.hub.cluster.get("modelcluster", name).get("status", {})
        return found

    def condition(self, name: str, kind: str) -> str:
        """Return the message of one of a cluster's conditions, empty before it was judged."""
        for found in self.status_of(name).get("conditions") or ():
            if found["type"] == kind:
                return str(found["message"])
        return ""

    def tell_why(self, team: HybridTeam, model: str, what: str) -> None:
        """Print what `slm explain` says of a model, for the docs and for `pytest -rP`."""
        told = self.slm("explain", model, "-n", team.namespace)
        assert told.code == 0, told
        sys.stdout.write(f"{what}:\n{told.out.replace(team.namespace, 'team')}\n")

    def wait_link(self, name: str, state: str, within: float = 90) -> None:
        """Wait until the hub says so of the link to a cluster."""

        def says() -> bool:
            link = self.status_of(name).get("link") or {}
            return bool(link.get("state") == state)

        wait_until(says, f"the link to {name} is {state}", within=within)

    def wait_fresh(self, name: str) -> None:
        """Wait until what is known of a cluster was seen just now."""
        conditions = ("Connected", "FactsFresh")
        for one in conditions if name != CLOUD else conditions[1:]:
            self.hub.cluster.kubectl(
                "wait", f"--for=condition={one}", f"modelcluster/{name}", "--timeout=90s", within=95
            )

    def new_team(self) -> HybridTeam:
        """Make a namespace in all clusters, with a volume for weights in each."""
        hub = self.hub.new_team()
        sites = {CLOUD: hub}
        for name, cluster in self.clusters.items():
            if name != CLOUD:
                sites[name] = self._accept(name, cluster, hub.namespace)
        team = HybridTeam(hub=hub, sites=sites)
        self.teams.append(team)
        return team

    def _accept(self, name: str, cluster: Cluster, namespace: str) -> Team:
        cluster.kubectl("create", "namespace", namespace)
        label = f"smallmodel.dev/accept-from={self.hub_id}"
        cluster.kubectl("label", "namespace", namespace, label)
        folder = self.volumes / name / namespace
        make_volume(cluster, namespace, folder, "50Gi", claim=(namespace, "smallmodel-weights"))
        return Team(cluster=cluster, namespace=namespace)

    def remove_team(self, team: HybridTeam) -> None:
        """Delete the namespace everywhere, and wait until it is gone."""
        team.hub.kubectl("delete", "sm", "--all", within=180)
        for name, site in team.sites.items():
            if name == CLOUD:
                continue
            wait_until(
                lambda site=site: not site.names("rayservices") and not site.names("pods"),  # type: ignore[misc]  # The loop's own.
                f"the pools of {team.namespace} on {name} are gone",
                within=150,
            )
            site.cluster.kubectl("delete", "namespace", team.namespace, within=150)
            site.cluster.kubectl("delete", "pv", team.namespace, "--ignore-not-found")
            shutil.rmtree(self.volumes / name / team.namespace, ignore_errors=True)
        self.hub.remove_team(team.hub)
        self.teams.remove(team)


@contextlib.contextmanager
def joined(clusters: Mapping[str, Cluster], wan: Wan, volumes: Path) -> Iterator[Hybrid]:
    """Install the operator in the cloud, join the others to it, and declare what each is."""
    operator, serving = serving_images.OPERATOR.reference, serving_images.SERVING_CPU.reference
    named = {CLOUD if name == hybrid.CLOUD else name: one for name, one in clusters.items()}
    gateway = {"clusters": {"enabled": True, "ports": [GATEWAY_PORT], "service": _NODE_PORT}}
    with installed(named[CLOUD], volumes, operator, serving, gateway=gateway) as hub:
        made = Hybrid(hub=hub, clusters=named, volumes=volumes, wan=wan)
        made.join_push(ONPREM)
        made.install_member(ONPREM)
        made.join_pull(EDGE)
        made.install_agent(EDGE)
        made.declare(CLOUD, gateway={"address": made.gateway_address(CLOUD)})
        for name in named:
            made.declare(name, **DECLARED[name])
        for name in named:
            made.wait_fresh(name)
        yield made
