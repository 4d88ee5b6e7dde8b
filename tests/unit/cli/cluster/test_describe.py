"""`slm describe` of a cluster: why here, why not elsewhere, and what the model waits for."""

import json
from typing import Any

import pytest

from builders.cluster_objects import put_event, put_model, put_placement, put_worker
from builders.fake_cluster import FakeCluster
from builders.placements import LATER_POOL, POOL, answer, deployment, placed_status, quarantine
from builders.small_model_states import STATES
from smallmodel_operator.api.fetch import FetchFailed, FetchProgress
from smallmodel_operator.api.modelplacement import ModelPlacementStatus, Problem
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.cli.cluster.commands.describe import why_here
from support.command_line import Slm


def sections(text: str) -> dict[str, list[str]]:
    """What stands under each title, without spaces around."""
    found: dict[str, list[str]] = {"": []}
    title = ""
    for line in text.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            title = line.removesuffix(":")
            found[title] = []
        elif line.strip():
            found[title].append(" ".join(line.split()))
    return found


def test_a_ready_model_says_where_and_why(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    put_placement(cluster, placed_status(probe=answer(), fetch_job="fetch-chat-1"))
    put_worker(cluster)
    told = sections(slm("describe", "chat").out)
    assert "State: Ready" in told[""]
    assert told["Why here"] == ["The variant q4_1 runs with LlamaCpp on the cluster local."]
    assert "Waits for" not in told
    assert f"Answers: {POOL}" in told["Pool"]
    assert "Progress: There: 90 MiB at /weights/chat.gguf" in told["Weights"]
    assert "Job: fetch-chat-1" in told["Weights"]
    assert "First token: 0.21 s" in told["Verified"]
    assert any(line.startswith(f"local {POOL} LlamaCpp q4_1") for line in told["Copies"])
    assert any(line.startswith("worker-0 worker Running yes node-1") for line in told["Pods"])
    assert any(line.startswith("Worker class: cpu-4gi: 2 CPU, 4Gi") for line in told["Choice"])
    assert told["Conditions"][-1].startswith("Stalled False")


def test_options_that_were_not_taken_are_listed_with_why() -> None:
    taken, others = why_here(
        "The variant q4_1 runs. At most 3 replicas. Not bf16: VLLM is not there. Choose another "
        "one. Not q8: needs 9 GiB."
    )
    assert taken == ["The variant q4_1 runs. At most 3 replicas."]
    assert others == ["bf16: VLLM is not there. Choose another one.", "q8: needs 9 GiB."]


@pytest.mark.parametrize(
    ("state", "waits"),
    [
        ("unknown-model", "Resolved: UnknownModel. spec.model is 'little-1b'"),
        ("resolving", "Resolved: Fetching. Fetching 43 %"),
        ("unplaced-now", "Placed: MemoryFit. needs 4 GiB; 1 GiB is free"),
        ("fetching", "Deployed: Fetching. Fetching 43 %"),
        ("api-missing", "Deployed: ApiMissing. KubeRay is not installed"),
        ("new", "The operator, which has not looked at"),
    ],
)
def test_the_first_condition_that_is_not_true_explains_the_rest(
    slm: Slm, cluster: FakeCluster, state: str, waits: str
) -> None:
    put_model(cluster, state)
    assert sections(slm("describe", "chat").out)["Waits for"][0].startswith(waits)


@pytest.mark.parametrize("state", sorted(STATES))
def test_every_state_can_be_described(slm: Slm, cluster: FakeCluster, state: str) -> None:
    put_model(cluster, state)
    assert slm("describe", "chat").code == 0


def test_a_reason_leads_to_the_page_that_says_what_to_type(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster, "api-missing")
    told = sections(slm("describe", "chat").out)["Waits for"]
    assert told[-1] == (
        "docs/how-to/troubleshoot-a-cluster.md has what to type next for ApiMissing"
    )


def test_a_quarantine_says_when_it_is_tried_again(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    put_placement(cluster, placed_status(quarantine=quarantine(), deployment=None))
    assert sections(slm("describe", "chat").out)["Quarantine"] == [
        "Serving hash: 0123456789ab",
        "Tried: 2 times",
        "Next try: 2026-11-24T12:05:00Z, or at once when the spec changes",
        "Why: LoadFailed: unknown model architecture: 'nothing'",
    ]


def test_a_move_names_both_pools(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    put_placement(cluster, placed_status(moving_to=LATER_POOL, deployment=deployment()))
    told = sections(slm("describe", "chat").out)["Pool"]
    assert told[:2] == [f"Answers: {POOL}", f"Moves to: {LATER_POOL}"]


@pytest.mark.parametrize(
    ("status", "section", "line"),
    [
        (
            ModelPlacementStatus(fetch=FetchProgress(done_bytes=43, total_bytes=100)),
            "Weights",
            "Progress: Fetching 43 % (43 B of 100 B)",
        ),
        (
            ModelPlacementStatus(
                fetch=FetchFailed(reason=Reason.DISK_FULL, message="1 GiB is free")
            ),
            "Weights",
            "Progress: DiskFull: 1 GiB is free",
        ),
        (
            ModelPlacementStatus(
                problem=Problem(reason=Reason.REFUSED, message="exceeded quota: models")
            ),
            "Pool",
            "Problem: Refused: exceeded quota: models",
        ),
    ],
    ids=["progress", "failure", "problem"],
)
def test_what_keeps_it_is_told(
    slm: Slm, cluster: FakeCluster, status: ModelPlacementStatus, section: str, line: str
) -> None:
    put_model(cluster)
    put_placement(cluster, status)
    assert line in sections(slm("describe", "chat").out)[section]


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]},
            "0/1 nodes",
        ),
        (
            {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
            "ImagePullBackOff",
        ),
        (
            {"containerStatuses": [{"state": {"terminated": {"exitCode": 137, "reason": "OOM"}}}]},
            "ended with 137: OOM",
        ),
        ({"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}, "-"),
        ({"containerStatuses": [{"state": {"terminated": {"exitCode": 0}}}]}, "-"),
    ],
)
def test_a_pod_says_its_trouble(
    slm: Slm, cluster: FakeCluster, status: dict[str, Any], trouble: str
) -> None:
    put_model(cluster)
    put_worker(cluster, phase="Pending", **status)
    row = sections(slm("describe", "chat").out)["Pods"][1]
    assert row == f"worker-0 worker Pending no node-1 {trouble}"


def test_events_of_the_model_alone_are_shown(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    put_event(cluster, "e1", "chat", "the engine refused it")
    put_event(cluster, "e2", "other", "nothing of ours")
    assert sections(slm("describe", "chat").out)["Events"][1:] == [
        "2026-11-24T12:03:00 Warning LoadFailed 3 the engine refused it"
    ]


def test_what_may_not_be_read_is_named_and_the_rest_is_shown(
    slm: Slm, cluster: FakeCluster
) -> None:
    put_model(cluster)
    cluster.forbidden = {"modelplacements", "pods", "events"}
    outcome = slm("describe", "chat")
    assert outcome.code == 0
    told = sections(outcome.out)
    assert [line.partition(":")[0] for line in told["Not shown"]] == [
        "you may not read ModelPlacements of namespace slm-cluster-local",
        "its pods",
        "its events",
    ]
    assert told["Why here"]


def test_for_programs_it_is_both_objects(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    put_placement(cluster, placed_status())
    printed = json.loads(slm("describe", "chat", "-o", "json").out)
    assert printed["model"]["kind"] == "SmallModel"
    assert printed["placement"]["status"]["pool"] == POOL


def test_a_placement_of_another_version_is_named(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    put_placement(cluster, placed_status())
    stored = next(one for path, one in cluster.kube.objects.items() if "/modelplacements/" in path)
    stored["spec"]["mood"] = "good"
    [line] = sections(slm("describe", "chat").out)["Not shown"]
    assert line.endswith("is of another version than this slm")
