"""The fleet brings each model up in order, and lets no model disturb another."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from builders.fake_world import FakeWorld
from smallmodel_operator.api.fetch import FetchFailed
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Engine, SmallModel
from smallmodel_operator.local.bundled import fetch_bundled_cards
from smallmodel_operator.local.fleet import Fleet
from smallmodel_operator.local.manifests import Manifest, ManifestSet, Problem
from smallmodel_operator.local.tracked import TrackedModel
from smallmodel_operator.placement.machine import Machine
from smallmodel_operator.probe import Answer
from smallmodel_operator.status.state import State

MACHINE = Machine(
    name="here", cpu_cores=2, memory_bytes=8 * 2**30, engines=frozenset({Engine.LLAMA_CPP})
)


def manifest(name: str, file: str = "models.yaml", **spec: Any) -> Manifest:
    body = {"model": "smollm2-135m-instruct"} | spec
    if "source" in spec:
        del body["model"]
    model = SmallModel.model_validate({"metadata": {"name": name}, "spec": body})
    return Manifest(file=file, line=1, object=model)


def of(*manifests: Manifest, problems: tuple[Problem, ...] = ()) -> ManifestSet:
    return ManifestSet(manifests=manifests, problems=problems)


@asynccontextmanager
async def running(world: FakeWorld) -> AsyncIterator[Fleet]:
    """A fleet that looks at the world as often as it can."""
    fleet = Fleet(
        world,
        catalog=fetch_bundled_cards(),
        machine=MACHINE,
        url="http://127.0.0.1:8080/v1",
        changed=lambda _: None,
    )

    async def look() -> None:
        while True:
            await fleet.observe()
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    try:
        yield fleet
    finally:
        looking.cancel()
        await fleet.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


def tracked(fleet: Fleet, name: str) -> TrackedModel:
    return next(model for model in fleet.models if model.name == name)


def pool_of(world: FakeWorld) -> set[str]:
    return {model.name for model in world.pools[-1].models}


async def test_a_manifest_becomes_ready_and_is_routed() -> None:
    world = FakeWorld()
    async with running(world) as fleet:
        await fleet.accept(of(manifest("chat")))
        await until(lambda: tracked(fleet, "chat").state is State.READY)
    assert world.probed == ["chat"]
    assert [(m.name, m.unavailable) for m in world.gateways[-1]] == [("chat", None)]
    assert world.pools[-1].models[0].verified


async def test_a_model_that_is_not_ready_yet_is_known_to_the_gateway() -> None:
    world = FakeWorld()
    async with running(world) as fleet:
        await fleet.accept(of(manifest("chat")))
    first = world.gateways[0][0]
    assert first.unavailable is not None
    assert first.unavailable.reason is Reason.PROGRESSING


async def test_a_broken_model_leaves_the_good_one_ready_and_gives_its_reason() -> None:
    world = FakeWorld(broken={"bad"})
    async with running(world) as fleet:
        await fleet.accept(of(manifest("bad"), manifest("good")))
        await until(lambda: tracked(fleet, "good").state is State.READY)
        await until(lambda: tracked(fleet, "bad").state is State.FAILED)
        await until(lambda: fleet.settled())
    assert world.probed == ["good"]
    reasons = {m.name: m.unavailable and m.unavailable.reason for m in world.gateways[-1]}
    assert reasons == {"bad": Reason.DEPLOY_FAILED, "good": None}


async def test_a_model_that_cannot_be_resolved_never_reaches_serve() -> None:
    world = FakeWorld()
    async with running(world) as fleet:
        await fleet.accept(of(manifest("chat", model="no-such-model")))
        await until(lambda: tracked(fleet, "chat").state is State.FAILED)
    assert world.pools == []
    assert world.fetched == []


async def test_removing_one_model_leaves_the_other_as_it_was() -> None:
    world = FakeWorld()
    async with running(world) as fleet:
        await fleet.accept(of(manifest("a"), manifest("b")))
        await until(lambda: fleet.settled() and pool_of(world) == {"a", "b"})
        kept = next(m for m in world.pools[-1].models if m.name == "b")
        await fleet.accept(of(manifest("b")))
        assert world.pools[-1].models == (kept,)
        assert [m.name for m in world.gateways[-1]] == ["b"]


async def test_a_file_that_became_unreadable_keeps_its_models() -> None:
    world = FakeWorld()
    broken = Problem(file="models.yaml", line=3, field="", message="not YAML")
    async with running(world) as fleet:
        await fleet.accept(of(manifest("chat")))
        await until(lambda: tracked(fleet, "chat").state is State.READY)
        await fleet.accept(of(problems=(broken,)))
        assert tracked(fleet, "chat").state is State.READY
        await fleet.accept(of())
        assert fleet.models == ()


async def test_a_new_bound_is_neither_verified_again_nor_restarted() -> None:
    world = FakeWorld()
    async with running(world) as fleet:
        await fleet.accept(of(manifest("chat")))
        await until(lambda: tracked(fleet, "chat").state is State.READY)
        args = world.pools[-1].models[0].args
        changed = manifest("chat", scaling={"idleTimeout": "30s"})
        await fleet.accept(of(changed))
        await until(lambda: world.pools[-1].models[0].tuning.idle_timeout_seconds == 30)
        await until(fleet.settled)
    assert world.pools[-1].models[0].args == args
    assert world.probed == ["chat"]
    assert tracked(fleet, "chat").status.observed_generation == 2


async def test_a_model_stays_ready_while_serve_deploys_another() -> None:
    world = FakeWorld()
    async with running(world) as fleet:
        await fleet.accept(of(manifest("old")))
        await until(lambda: tracked(fleet, "old").state is State.READY)
        world.deploying = True
        await fleet.accept(of(manifest("old"), manifest("new")))
        await until(lambda: pool_of(world) == {"old", "new"})
        await fleet.observe()
        assert tracked(fleet, "old").state is State.READY
        assert tracked(fleet, "new").state is State.STARTING
        world.deploying = False
        await until(lambda: tracked(fleet, "new").state is State.READY)


async def test_a_changed_context_is_verified_again() -> None:
    world = FakeWorld()
    async with running(world) as fleet:
        await fleet.accept(of(manifest("chat")))
        await until(lambda: tracked(fleet, "chat").state is State.READY)
        await fleet.accept(of(manifest("chat", contextLength=1024)))
        await until(lambda: len(world.probed) == 2 and fleet.settled())
        assert tracked(fleet, "chat").state is State.READY


async def test_an_edit_that_cannot_be_served_leaves_what_runs_running() -> None:
    world = FakeWorld()
    async with running(world) as fleet:
        await fleet.accept(of(manifest("chat")))
        await until(lambda: tracked(fleet, "chat").state is State.READY)
        await fleet.accept(of(manifest("chat", variant="q9")))
        await until(lambda: tracked(fleet, "chat").state is State.FAILED)
        assert pool_of(world) == {"chat"}
        assert world.gateways[-1][0].unavailable is None


async def test_one_model_at_a_time_is_verified() -> None:
    world = FakeWorld()
    async with running(world) as fleet:
        await fleet.accept(of(*(manifest(f"m{number}") for number in range(5))))
        await until(lambda: len(world.probed) == 5)
    assert world.most_probes_at_once == 1


async def test_a_route_that_is_still_on_its_way_is_asked_again() -> None:
    not_yet = Answer(passed=False, reason=Reason.PROBE_FAILED, message="404", worth_repeating=True)
    world = FakeWorld(answers=[not_yet])
    async with running(world) as fleet:
        await fleet.accept(of(manifest("chat")))
        await until(lambda: tracked(fleet, "chat").state is State.READY)
    assert world.probed == ["chat", "chat"]


async def test_a_refused_request_fails_the_model_with_its_reason() -> None:
    refusal = Answer(passed=False, reason=Reason.LOAD_FAILED, message="bad magic (HTTP 503)")
    async with running(FakeWorld(answers=[refusal])) as fleet:
        await fleet.accept(of(manifest("chat")))
        await until(lambda: tracked(fleet, "chat").state is State.FAILED)
        report = tracked(fleet, "chat").report("http://127.0.0.1:20001")
    assert report.recent_errors[-1].endswith("bad magic (HTTP 503)")


async def test_weights_named_directly_are_fetched_before_they_are_resolved() -> None:
    uri = "https://models.example/a.gguf"
    refused = FetchFailed(reason=Reason.INVALID_WEIGHTS, message="not GGUF")
    world = FakeWorld(weights={uri: refused})
    async with running(world) as fleet:
        await fleet.accept(of(manifest("own", source={"uri": uri})))
        await until(lambda: tracked(fleet, "own").state is State.FAILED)
    assert [request.uri for request in world.fetched] == [uri]
    assert tracked(fleet, "own").message == "not GGUF"


async def test_a_source_that_is_away_is_tried_again_later_and_counts_as_settled() -> None:
    away = FetchFailed(reason=Reason.SOURCE_UNREACHABLE, message="connection refused")
    uri = "https://models.example/a.gguf"
    async with running(FakeWorld(weights={uri: away})) as fleet:
        await fleet.accept(of(manifest("own", source={"uri": uri})))
        await until(lambda: tracked(fleet, "own").resting)
        assert fleet.settled()
