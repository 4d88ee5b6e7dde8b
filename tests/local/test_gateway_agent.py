"""The agent and a real Envoy, each in its process, against a fake API server that goes away."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest

from builders.plan_values import gateway_model, namespace_routes, routed_model
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.plan.gateway.cluster_values import NamespaceRoutes, RoutedModel
from smallmodel_operator.plan.gateway.config_map import entries_of, gateway_config_map
from smallmodel_operator.plan.gateway.values import GatewayConfig, Unavailable
from support.fake_config_map_api import FakeConfigMapApi
from support.free_ports import free_port
from support.mock_upstream import MockUpstream, Stream
from support.running_cluster_gateway import (
    ClusterGateway,
    Program,
    settings_for,
    start_agent,
    start_envoy,
)
from support.waiting import eventually

pytestmark = pytest.mark.local

OUT = Unavailable(reason=Reason.FETCHING, message="its weights are being fetched")
NAMESPACE = "smallmodel-system"


class Pod:
    """A gateway's pod whose ConfigMap lies in a fake API server."""

    def __init__(self, folder: Path) -> None:
        self.gateway = ClusterGateway(folder, settings_for(folder))
        self.api = FakeConfigMapApi()
        self.pool = MockUpstream()
        self.port = free_port()
        self.folder = folder

    def serving(self, *names: str) -> NamespaceRoutes:
        return namespace_routes("team-a", *(routed_model(name, self.pool.port) for name in names))

    async def put(self, *namespaces: NamespaceRoutes) -> GatewayConfig:
        config = self.gateway.build(*namespaces)
        await self.api.put(gateway_config_map(config, NAMESPACE))
        return config

    def agent(self, *more: str) -> Program:
        kubeconfig = self.api.write_kubeconfig(self.folder / "kubeconfig")
        words = ("--kubeconfig", str(kubeconfig), "--listen", f"127.0.0.1:{self.port}", *more)
        return start_agent(self.folder, self.gateway.settings, *words)

    async def write_once(self) -> None:
        program = self.agent("--write-once")
        assert await asyncio.to_thread(program.process.wait, 20) == 0, program.log.read_text()

    async def start(self, *names: str) -> None:
        """Start all, with these models."""
        await self.api.start()
        await self.pool.start()
        self.gateway.files.write(await self.put(self.serving(*names)))
        await self.gateway.start()
        self.gateway.agent = self.agent()
        await eventually(lambda: self.api.watches == 1, "the agent watches")

    async def metric(self, name: str) -> float | None:
        async with self.gateway.client.get(f"http://127.0.0.1:{self.port}/metrics") as answer:
            text = await answer.text()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else None

    async def until_metric(self, name: str, value: float) -> None:
        async with asyncio.timeout(10):
            while await self.metric(name) != value:
                await asyncio.sleep(0.02)

    async def until_answer(self, model: str, status: int, within: float) -> float:
        """Return how long it took until asking the model had that status."""
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(within):
            while (await self.gateway.ask("team-a", model)).status != status:
                await asyncio.sleep(0.01)
        return asyncio.get_running_loop().time() - began

    async def stop(self) -> None:
        await self.gateway.stop()
        await self.pool.stop()
        await self.api.stop()


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    found = Pod(tmp_path)
    yield found
    await found.stop()


class TestChanges:
    async def test_a_change_reaches_clients_within_a_second(self, pod: Pod) -> None:
        await pod.start("chat")

        for names, model, status in (
            (("chat", "embed"), "embed", 200),
            (("embed",), "chat", 404),
            (("embed", "chat"), "chat", 200),
        ):
            await pod.put(pod.serving(*names))
            assert await pod.until_answer(model, status, within=1) < 1

    async def test_a_move_to_another_pool_loses_no_request(self, pod: Pod) -> None:
        await pod.start("chat")
        other = MockUpstream()
        await other.start()
        ended = asyncio.Event()
        statuses: list[int] = []

        async def ask_on() -> None:
            while not ended.is_set():
                statuses.append((await pod.gateway.ask("team-a", "chat")).status)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(4):
                    group.create_task(ask_on())
                for pool in (other, pod.pool, other):
                    pool.seen.clear()
                    await pod.put(namespace_routes("team-a", routed_model("chat", pool.port)))
                    await eventually(lambda pool=pool: len(pool.seen) > 20, "the pool is asked")  # type: ignore[misc] # a default binds the loop's value
                ended.set()
        finally:
            await other.stop()

        assert set(statuses) == {200}

    async def test_a_stream_outlives_changes_and_the_removal_of_its_model(self, pod: Pod) -> None:
        await pod.start("chat")
        stream = Stream()
        pod.pool.answer = stream
        async with pod.gateway.client.post(
            f"{pod.gateway.url}/team-a/v1/completions", json={"model": "chat"}
        ) as answer:
            stream.events.put_nowait("first")
            assert await answer.content.readline() == b"data: first\n"
            await pod.put(namespace_routes("team-b"))
            async with asyncio.timeout(2):
                while (await pod.gateway.request("GET", "/team-a/health")).status != 404:
                    await asyncio.sleep(0.01)
            stream.events.put_nowait("second")
            stream.events.put_nowait(None)
            rest = await answer.content.read()

        assert rest == b"\ndata: second\n\n"

    async def test_a_model_that_goes_out_says_why(self, pod: Pod) -> None:
        await pod.start("chat")
        model = RoutedModel(model=gateway_model("chat", unavailable=OUT))
        await pod.put(namespace_routes("team-a", model))

        await pod.until_answer("chat", 503, within=1)

    async def test_what_is_cut_or_empty_changes_nothing(self, pod: Pod) -> None:
        await pod.start("chat")
        config_map = gateway_config_map(pod.gateway.build(), NAMESPACE)
        config_map["binaryData"].pop("routes.json.gz")
        await pod.api.put(config_map)
        await pod.until_metric('smallmodel_gateway_snapshots_refused_total{reason="Invalid"}', 1)
        assert (await pod.gateway.ask("team-a", "chat")).status == 200

        await pod.api.delete()
        await pod.put(pod.serving("chat", "embed"))
        await pod.until_answer("embed", 200, within=1)

    async def test_what_envoy_refuses_is_taken_back(self, pod: Pod) -> None:
        await pod.start("chat")
        # An endpoint of a static address that is a name: valid JSON, and no valid cluster.
        broken = pod.gateway.build(pod.serving("chat", "embed"))
        routes = broken.routes.text.replace('"prefix_rewrite"', '"prefix_rewritten"')
        await pod.api.put(
            gateway_config_map(
                GatewayConfig(
                    bootstrap=broken.bootstrap,
                    routes=type(broken.routes)(text=routes, version=broken.routes.version),
                    clusters=broken.clusters,
                ),
                NAMESPACE,
            )
        )
        await pod.until_metric('smallmodel_gateway_snapshots_refused_total{reason="Rejected"}', 1)
        assert (await pod.gateway.ask("team-a", "chat")).status == 200

        await asyncio.to_thread(pod.gateway.envoy.stop)  # type: ignore[union-attr] # started above
        await pod.gateway.start()
        assert (await pod.gateway.ask("team-a", "chat")).status == 200

    async def test_a_new_bootstrap_is_told_and_its_routes_are_taken(self, pod: Pod) -> None:
        await pod.start("chat")
        old = pod.gateway.settings
        pod.gateway.settings = settings_for(pod.folder, body_limit=2**20)
        await pod.put(pod.serving("chat", "embed"))
        pod.gateway.settings = old

        await pod.until_answer("embed", 200, within=1)
        assert await pod.metric("smallmodel_gateway_restart_needed") == 1


class TestFaults:
    async def test_envoy_and_agent_restart_while_the_api_server_is_down(self, pod: Pod) -> None:
        await pod.start("chat")
        await pod.put(pod.serving("chat", "embed"))
        await pod.until_answer("embed", 200, within=1)
        await pod.api.stop()
        assert pod.gateway.envoy is not None
        assert pod.gateway.agent is not None
        await asyncio.to_thread(pod.gateway.envoy.kill)
        await asyncio.to_thread(pod.gateway.agent.kill)

        pod.gateway.agent = pod.agent()
        await pod.gateway.start()
        statuses = [(await pod.gateway.ask("team-a", "embed")).status for _ in range(100)]
        assert statuses == [200] * 100

        await pod.api.start()
        await pod.put(pod.serving("chat", "third"))
        # Its waits between two tries have grown to seconds.
        await pod.until_answer("third", 200, within=10)

    async def test_a_new_pod_starts_from_the_mounted_config_map(self, pod: Pod) -> None:
        await pod.api.start()
        await pod.api.stop()
        await pod.pool.start()
        mount(pod.folder / "seed", pod.gateway.build(pod.serving("chat")))

        await pod.write_once()
        await pod.gateway.start()
        assert [(await pod.gateway.ask("team-a", "chat")).status for _ in range(50)] == [200] * 50

    async def test_the_first_step_waits_until_there_is_something_to_start_with(
        self, pod: Pod
    ) -> None:
        await pod.api.start()
        await pod.pool.start()
        waiting = asyncio.ensure_future(pod.write_once())
        await eventually(lambda: pod.api.watches == 1, "the first step watches")
        assert not waiting.done()
        assert pod.gateway.files.read() is None

        config = await pod.put(pod.serving("chat"))
        await waiting
        assert pod.gateway.files.read() == config

    async def test_a_forgotten_history_is_listed_again(self, pod: Pod) -> None:
        await pod.start("chat")
        await pod.api.stop()
        pod.api.forget()
        await pod.api.start()
        await pod.put(pod.serving("chat", "embed"))

        await pod.until_answer("embed", 200, within=10)
        assert pod.api.lists >= 2

    @pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
    async def test_refusals_are_counted_and_end(self, pod: Pod, status: int) -> None:
        await pod.start("chat")
        pod.api.refuse_with = status
        await pod.api.stop()
        await pod.api.start()
        name = f'smallmodel_gateway_watch_errors_total{{reason="Status{status}"}}'
        async with asyncio.timeout(10):
            while not await pod.metric(name):
                await asyncio.sleep(0.02)
        assert await pod.metric("smallmodel_gateway_watch_connected") == 0
        pod.api.refuse_with = None
        await pod.put(pod.serving("chat", "embed"))

        await pod.until_answer("embed", 200, within=10)
        assert await pod.metric("smallmodel_gateway_watch_connected") == 1

    async def test_watches_that_end_at_once_are_no_flood(self, pod: Pod) -> None:
        pod.api.end_watches_at_once = True
        await pod.start("chat")
        await eventually(lambda: pod.api.watches == 4, "the agent comes back")
        began = asyncio.get_running_loop().time()
        await eventually(lambda: pod.api.watches == 6, "the agent comes back")

        assert asyncio.get_running_loop().time() - began > 0.4


class TestStopping:
    async def test_a_drained_envoy_answers_what_runs_and_ends_connections(self, pod: Pod) -> None:
        await pod.start("chat")
        stream = Stream()
        pod.pool.answer = stream
        admin = f"127.0.0.1:{pod.gateway.settings.admin.port}"
        words = ("smallmodel_operator.gateway.drain", "--admin", admin, "--within", "20")
        async with pod.gateway.client.post(
            f"{pod.gateway.url}/team-a/v1/completions", json={"model": "chat"}
        ) as answer:
            stream.events.put_nowait("first")
            assert await answer.content.readline() == b"data: first\n"
            hook = Program(pod.folder / "drain.log", *words)
            await until_connections_end(pod.gateway)
            assert hook.process.poll() is None
            stream.events.put_nowait("second")
            stream.events.put_nowait(None)
            assert await answer.content.read() == b"\ndata: second\n\n"
        assert await asyncio.to_thread(hook.process.wait, 20) == 0, hook.log.read_text()
        assert pod.gateway.envoy is not None
        await asyncio.to_thread(pod.gateway.envoy.stop)

    async def test_the_agent_ends_at_once_and_envoy_goes_on(self, pod: Pod) -> None:
        await pod.start("chat")
        assert pod.gateway.agent is not None

        assert await asyncio.to_thread(pod.gateway.agent.stop, 3) == 0
        assert (await pod.gateway.ask("team-a", "chat")).status == 200

    async def test_an_envoy_without_files_says_who_writes_them(self, tmp_path: Path) -> None:
        envoy = start_envoy(tmp_path)

        assert await asyncio.to_thread(envoy.process.wait, 20) == 1
        assert "the init container writes it" in envoy.log.read_text()


async def until_connections_end(gateway: ClusterGateway) -> None:
    """Wait until an answer asks its client to close the connection."""
    async with asyncio.timeout(10), aiohttp.ClientSession() as client:
        headers: Mapping[str, str] = {}
        while headers.get("connection") != "close":
            async with client.get(f"{gateway.url}/health") as answer:
                headers = answer.headers
            await asyncio.sleep(0.02)


def mount(folder: Path, config: GatewayConfig) -> None:
    """Lay a ConfigMap out as the kubelet does: a folder of a version, and links to it."""
    version = folder / "..2026_11_24"
    version.mkdir(parents=True)
    (folder / "..data").symlink_to(version.name)
    for name, content in entries_of(gateway_config_map(config, NAMESPACE)).items():
        (version / name).write_bytes(content)
        (folder / name).symlink_to(Path("..data") / name)
