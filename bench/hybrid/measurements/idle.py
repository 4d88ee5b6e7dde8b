"""What an agent holds and uses that has nothing to do."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from typing import Final

from bench.children import until
from bench.cluster.control_plane import ControlPlane, bare_control_plane, watch_pools, watching
from bench.cluster.fakes import fake_serving_side
from bench.cluster.operator_process import OperatorProcess, operator_process
from bench.cluster.thousand import settled
from bench.hybrid.fleet import HUB_ID, NAMESPACE, declare, keep_hub_id
from bench.plan import Bench, Measurement
from bench.values import Bound, Figure, Judge, Report, Target
from smallmodel_operator.api.modelcluster import ConnectionMode
from smallmodel_operator.api.names import LABEL_ACCEPT_FROM

_CLUSTER: Final = "edge"
_MODELS: Final = 5
_SERVED_SECONDS: Final = 120.0
_IDLE_SECONDS: Final = 60.0
_MIB: Final = 2**20

_ABOUT: Final = (
    "One agent, as the process that its image has, in a cluster whose API server is real, "
    "as is that of the hub, where an operator runs; nodes and KubeRay are fakes, and no "
    f"pool has a head. It has mirrored {_MODELS} models, which are in a pool. Once it has "
    "written nothing for five seconds, its processor time is read before and after "
    f"{_IDLE_SECONDS:g} s in which nobody changes anything: heartbeats, looks at the "
    "cluster, and watches."
)


async def measure(bench: Bench) -> Report:
    """Measure."""
    rss, peak, cpu = list[float](), list[float](), list[float]()
    for run in range(bench.runs):
        bench.say(f"run {run + 1}")
        async with (
            bare_control_plane() as hub,
            bare_control_plane() as member,
            fake_serving_side(member.kube),
            watching(watch_pools(member)),
        ):
            await _join(hub, member)
            log = bench.new_folder("operator") / "operator.log"
            async with (
                operator_process(hub.kubeconfig, log) as _,
                _agent(bench, hub, member) as agent,
            ):
                await _serve(hub, member)
                await settled(agent)
                used, began = agent.cpu_seconds(), time.perf_counter()
                await asyncio.sleep(bench.seconds(_IDLE_SECONDS))
                cpu.append(1000 * (agent.cpu_seconds() - used) / (time.perf_counter() - began))
                rss.append(agent.rss() / _MIB)
                peak.append(agent.peak() / _MIB)
    return Report(name="idle", about=_ABOUT, figures=_figures(rss, peak, cpu))


MEASUREMENT: Final = Measurement(name="idle", about=_ABOUT, measure=measure)


async def _join(hub: ControlPlane, member: ControlPlane) -> None:
    await keep_hub_id(hub)
    await declare(hub, _CLUSTER, {"mode": ConnectionMode.PULL})
    metadata = {"name": NAMESPACE, "labels": {LABEL_ACCEPT_FROM: HUB_ID}}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    await member.kube.create("/api/v1/namespaces", namespace)


def _agent(
    bench: Bench, hub: ControlPlane, member: ControlPlane
) -> AbstractAsyncContextManager[OperatorProcess]:
    return operator_process(
        member.kubeconfig,
        bench.new_folder("agent") / "agent.log",
        "-m",
        "smallmodel_operator.agent",
        environment={
            "SMALLMODEL_AGENT_CLUSTER_NAME": _CLUSTER,
            "SMALLMODEL_AGENT_HUB_ID": HUB_ID,
            "SMALLMODEL_AGENT_HUB_KUBECONFIG": str(hub.kubeconfig),
        },
    )


async def _serve(hub: ControlPlane, member: ControlPlane) -> None:
    """Have the member serve models."""
    await hub.make_models(NAMESPACE, [f"chat-{number}" for number in range(_MODELS)])
    await until(
        lambda: member.seen.served() == _MODELS,
        f"{_MODELS} models are in a pool of the member",
        _SERVED_SECONDS,
    )


def _figures(rss: list[float], peak: list[float], cpu: list[float]) -> tuple[Figure, ...]:
    return (
        Figure(
            name="RSS of the agent",
            unit="MiB",
            runs=tuple(rss),
            target=Target(bound=Bound.AT_MOST, value=150, judge=Judge.WORST),
        ),
        Figure(name="most RSS until then", unit="MiB", runs=tuple(peak)),
        Figure(
            name="processor of the agent, thousandths of a core",
            unit="m",
            runs=tuple(cpu),
            target=Target(bound=Bound.AT_MOST, value=20),
        ),
    )
