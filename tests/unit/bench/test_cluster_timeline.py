"""When things came to be, from the objects that watches of a namespace show."""

import json
from typing import Any

from bench.cluster.timeline import IN_CONFIG, Timeline


def pool(*models: str, ready: bool = False) -> dict[str, Any]:
    config = json.dumps({"applications": [{"name": name} for name in ("_index", *models)]})
    conditions = [{"type": "Ready", "status": "True"}] if ready else []
    return {"spec": {"serveConfigV2": config}, "status": {"conditions": conditions}}


def pod(kind: str | None, **status: Any) -> dict[str, Any]:
    labels = {"ray.io/node-type": kind} if kind else {}
    return {"metadata": {"labels": labels}, "status": status}


def texts(line: Timeline) -> list[str]:
    return [phase.text for phase in line.phases()]


def test_things_are_told_in_the_order_in_which_they_were_seen_first() -> None:
    line = Timeline("chat")
    line.on_pool(pool())
    line.on_pod(pod("head"))
    line.on_pod(pod("head", containerStatuses=[{"state": {"running": {}}}]))
    line.on_pool(pool(ready=True))
    line.on_pool(pool("chat", ready=True))
    line.on_pool(pool("chat"))

    assert texts(line) == [
        "RayService is made",
        "head pod is made",
        "head pod runs",
        "RayService is Ready",
        IN_CONFIG,
    ]
    assert line.seconds(IN_CONFIG) >= line.seconds("RayService is Ready") >= 0


def test_what_was_so_before_the_start_is_left_out() -> None:
    line = Timeline("second")
    line.on_pool(pool("first", ready=True))
    line.start()
    line.on_pool(pool("first", "second", ready=True))
    assert texts(line) == [IN_CONFIG]


def test_other_models_and_the_pods_of_fetch_jobs_that_run_say_nothing() -> None:
    line = Timeline("chat")
    line.on_pod(pod(None, phase="Running"))
    line.on_placement({"spec": {"model": {"name": "other"}}})
    line.on_model({"metadata": {"name": "other"}})
    assert texts(line) == []
    line.on_pod(pod(None, phase="Succeeded"))
    assert texts(line) == ["fetch pod is done"]


def test_a_placement_tells_how_far_its_model_is() -> None:
    line = Timeline("chat")
    status: dict[str, Any] = {"fetch": {"path": "/weights/x"}}
    line.on_placement({"spec": {"model": {"name": "chat"}}})
    line.on_placement({"spec": {"model": {"name": "chat"}}, "status": status})
    status |= {"deployment": {"healthy": True}, "probe": {"passed": True}}
    line.on_placement({"spec": {"model": {"name": "chat"}}, "status": status})
    assert texts(line) == [
        "ModelPlacement is made",
        "weights are there",
        "Serve has it running",
        "verified",
    ]


def test_ready_counts_for_the_present_generation_alone() -> None:
    def model(generation: int) -> dict[str, Any]:
        ready = {"type": "Ready", "status": "True", "observedGeneration": 1}
        return {
            "metadata": {"name": "chat", "generation": generation},
            "status": {"conditions": [ready]},
        }

    line = Timeline("chat")
    line.on_model(model(2))
    assert texts(line) == []
    line.on_model(model(1))
    assert texts(line) == ["SmallModel is Ready"]
