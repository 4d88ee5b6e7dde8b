from pathlib import Path
from typing import Any

import pytest

from builders.fake_envoy import FakeEnvoy
from builders.plan_values import namespace_routes, routed_model
from smallmodel_operator.gateway.agent import Agent
from smallmodel_operator.gateway.files import GatewayFiles
from smallmodel_operator.gateway.metrics import AgentMetrics
from smallmodel_operator.plan.gateway.cluster import build_cluster_gateway
from smallmodel_operator.plan.gateway.cluster_bootstrap import CONTRACT
from smallmodel_operator.plan.gateway.cluster_values import ClusterGatewaySettings
from smallmodel_operator.plan.gateway.config_map import entries_of, gateway_config_map
from smallmodel_operator.plan.gateway.values import GatewayConfig

Ports = dict[str, int]


def config(models: Ports, **settings: Any) -> GatewayConfig:
    """Models, each with the port of its pool."""
    namespace = namespace_routes(
        "team-a", *(routed_model(name, port) for name, port in models.items())
    )
    return build_cluster_gateway([namespace], ClusterGatewaySettings(**settings))


def config_map(given: GatewayConfig) -> dict[str, Any]:
    return gateway_config_map(given, "smallmodel-system")


def counted(metrics: AgentMetrics, reason: str) -> bool:
    line = f'smallmodel_gateway_snapshots_refused_total{{reason="{reason}"}} 1.0'
    return line in metrics.text().decode()


class Side:
    """An agent in a folder, and the Envoy beside it."""

    def __init__(self, folder: Path) -> None:
        self.files = GatewayFiles(folder / "config")
        self.seed = folder / "seed"
        self.envoy = FakeEnvoy(self.files)
        self.metrics = AgentMetrics()
        self.agent = Agent(self.files, self.envoy, self.metrics)

    async def running(self, models: Ports) -> None:
        """Start with these models, which Envoy uses."""
        self.files.write(config(models))
        assert self.agent.start(self.seed)
        await self.agent.confirm()


@pytest.fixture
def side(tmp_path: Path) -> Side:
    return Side(tmp_path)


class TestStart:
    def test_what_lies_there_comes_first(self, side: Side) -> None:
        side.files.write(config({"chat": 1}))
        lay_out(side.seed, config({"embed": 1}))

        assert side.agent.start(side.seed)
        assert side.files.read() == config({"chat": 1})

    def test_the_mounted_config_map_comes_second(self, side: Side) -> None:
        lay_out(side.seed, config({"embed": 1}))

        assert side.agent.start(side.seed)
        assert side.agent.ready
        assert side.files.read() == config({"embed": 1})

    @pytest.mark.parametrize("exists", [True, False])
    def test_without_either_there_is_nothing_to_start_with(self, side: Side, exists: bool) -> None:
        if exists:
            side.seed.mkdir()

        assert not side.agent.start(side.seed)
        assert not side.agent.ready
        assert side.files.read() is None

    def test_a_spoiled_config_map_is_not_used_and_said_once(
        self, side: Side, caplog: pytest.LogCaptureFixture
    ) -> None:
        lay_out(side.seed, config({"embed": 1}))
        (side.seed / "version").write_text("another")

        assert not side.agent.start(side.seed)
        assert counted(side.metrics, "Invalid")
        assert not side.agent.start(side.seed)
        assert caplog.text.count("is not used") == 1

    @pytest.mark.parametrize("file", ["bootstrap", "routes", "clusters"])
    @pytest.mark.parametrize("content", [None, b"", b"{", b"\xff"])
    def test_files_that_are_cut_are_replaced(
        self, side: Side, file: str, content: bytes | None
    ) -> None:
        side.files.write(config({"chat": 1}))
        lay_out(side.seed, config({"embed": 1}))
        path: Path = getattr(side.files, file)
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)

        assert side.agent.start(side.seed)
        assert side.files.read() == config({"embed": 1})

    async def test_the_first_config_map_is_taken_as_it_is(self, side: Side) -> None:
        await side.agent.take(config_map(config({"chat": 1})))

        assert side.agent.ready
        assert side.files.read() == config({"chat": 1})


class TestChanges:
    async def test_new_pools_come_before_their_routes_and_old_ones_go_after(
        self, side: Side
    ) -> None:
        await side.running({"chat": 1})
        side.envoy.steps.clear()
        await side.agent.take(config_map(config({"chat": 2})))

        old, new = "127_0_0_1:1", "127_0_0_1:2"
        assert side.envoy.steps == [
            ((old,), (old,)),
            ((old, new), (old,)),
            ((old, new), (new,)),
            ((new,), (new,)),
        ]
        assert side.files.read() == config({"chat": 2})
        assert not side.agent.unconfirmed

    async def test_nothing_new_is_nothing_to_do(self, side: Side) -> None:
        await side.running({"chat": 1})
        written = side.files.routes.stat().st_ino
        await side.agent.take(config_map(config({"chat": 1})))

        assert side.files.routes.stat().st_ino == written

    async def test_without_envoy_the_files_are_written_and_seen_later(self, side: Side) -> None:
        await side.running({"chat": 1})
        side.envoy.up = False
        await side.agent.take(config_map(config({"chat": 2})))
        await side.agent.confirm()

        assert side.files.read() == config({"chat": 2})
        assert side.agent.unconfirmed
        side.envoy.up = True
        await side.agent.confirm()
        assert not side.agent.unconfirmed

    async def test_an_invalid_config_map_changes_nothing(self, side: Side) -> None:
        await side.running({"chat": 1})
        spoiled = config_map(config({"chat": 2}))
        spoiled["data"]["version"] = "another"
        await side.agent.take(spoiled)

        assert side.files.read() == config({"chat": 1})
        assert counted(side.metrics, "Invalid")

    async def test_routes_of_another_contract_wait_for_a_restart(self, side: Side) -> None:
        await side.running({"chat": 1})
        given = config({"chat": 2})
        newer = GatewayConfig(
            bootstrap=given.bootstrap.replace(f"contract: {CONTRACT}", f"contract: {CONTRACT + 1}"),
            routes=given.routes,
            clusters=given.clusters,
        )
        await side.agent.take(config_map(newer))

        assert side.files.read() == config({"chat": 1})
        assert counted(side.metrics, "Contract")

    async def test_a_new_bootstrap_is_left_to_a_restart(self, side: Side) -> None:
        await side.running({"chat": 1})
        await side.agent.take(config_map(config({"chat": 2}, body_limit=1)))

        found = side.files.read()
        assert found is not None
        assert found.bootstrap == config({}).bootstrap
        assert found.routes == config({"chat": 2}).routes
        assert "smallmodel_gateway_restart_needed 1.0" in side.metrics.text().decode()
        await side.agent.take(config_map(config({"chat": 2})))
        assert "smallmodel_gateway_restart_needed 0.0" in side.metrics.text().decode()


class TestRefusals:
    async def test_what_envoy_refuses_is_taken_back_and_not_tried_again(self, side: Side) -> None:
        await side.running({"chat": 1})
        side.envoy.refuses = lambda routes: "embed" in routes
        for _ in range(2):
            await side.agent.take(config_map(config({"embed": 2})))

        assert side.files.read() == config({"chat": 1})
        assert counted(side.metrics, "Rejected")
        assert not side.agent.unconfirmed

    async def test_a_refusal_that_is_seen_later_is_taken_back_too(self, side: Side) -> None:
        await side.running({"chat": 1})
        side.envoy.up = False
        await side.agent.take(config_map(config({"embed": 2})))
        side.envoy.up = True
        side.envoy.refuses = lambda routes: "embed" in routes
        await side.agent.confirm()

        assert side.files.read() == config({"chat": 1})

    async def test_without_anything_better_the_files_stay(self, side: Side) -> None:
        side.files.write(config({"embed": 1}))
        side.agent.start(side.seed)
        side.envoy.refuses = lambda routes: "embed" in routes
        await side.agent.confirm()

        assert side.files.read() == config({"embed": 1})
        assert side.agent.unconfirmed


def lay_out(folder: Path, given: GatewayConfig) -> None:
    folder.mkdir()
    (folder / "..data").mkdir()
    for name, content in entries_of(config_map(given)).items():
        (folder / name).write_bytes(content)
