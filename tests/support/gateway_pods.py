"""The gateway's pods, asked without an API server: what each has led to models since it started."""

import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from cluster.waiting import wait_until
from support.installation import SYSTEM, Installed

_SELECTOR: Final = "app.kubernetes.io/component=gateway"
_METRICS_PORT: Final = 9902


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPod:
    """One of them."""

    name: str
    uid: str
    address: str
    restarts: int
    """Of all of its containers."""

    def page(self) -> str | None:
        """Return Envoy's metrics, or None while it does not listen."""
        # A proxy that the environment names knows no way to the cluster.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://{self.address}:{_METRICS_PORT}/metrics", timeout=2) as answer:
                text: str = answer.read().decode()
                return text
        except OSError:
            return None

    def answers(self, namespace: str) -> float:
        """Return how many good answers of a namespace's models its Envoy has passed on."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.page() or "")
            for sample in family.samples
            # Envoy's counters have no suffix, and the parser gives them one.
            if sample.name == "envoy_cluster_upstream_rq_xx_total"
            and sample.labels["envoy_response_code_class"] == "2"
            and f"_{namespace}_" in sample.labels["envoy_cluster_name"]
        )


def gateway_pods(operator: Installed) -> list[GatewayPod]:
    """Return those that are not about to end."""
    listed = operator.cluster.get("-n", SYSTEM, "pods", "-l", _SELECTOR)["items"]
    return [_read(pod) for pod in listed if not pod["metadata"].get("deletionTimestamp")]


def wait_for_restart(pods: Sequence[GatewayPod], within: float) -> float:
    """Wait until each Envoy was seen away and listens again; return the seconds."""
    away: set[str] = set()

    def back() -> bool:
        listening = {pod.uid for pod in pods if pod.page() is not None}
        away.update(pod.uid for pod in pods if pod.uid not in listening)
        return len(away & listening) == len(pods)

    return wait_until(back, f"{len(pods)} gateways have started again", within=within)


def wait_for_answers(
    pods: Sequence[GatewayPod], namespace: str, count: int, within: float
) -> float:
    """Wait until each has passed on so many answers since it started; return the seconds."""
    return wait_until(
        lambda: all(pod.answers(namespace) >= count for pod in pods),
        f"each of {len(pods)} gateways has passed on {count} answers",
        within=within,
        explain=lambda: str({pod.name: pod.answers(namespace) for pod in pods}),
    )


def _read(pod: dict[str, Any]) -> GatewayPod:
    metadata, status = pod["metadata"], pod["status"]
    return GatewayPod(
        name=metadata["name"],
        uid=metadata["uid"],
        address=status.get("podIP", ""),
        restarts=sum(each["restartCount"] for each in status.get("containerStatuses", ())),
    )
