"""`slm logs` of a cluster: what each pod's containers wrote, and where the rest is."""

from builders.cluster_objects import put_fetch_pod, put_model, put_placement, put_worker
from builders.fake_cluster import LOG_LINE, FakeCluster
from builders.placements import LATER_POOL, placed_status
from support.command_line import Slm


def test_the_fetch_and_the_pool_have_logs(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    put_placement(cluster, placed_status())
    put_fetch_pod(cluster)
    put_worker(cluster)
    outcome = slm("logs", "chat")
    assert outcome.code == 0
    assert outcome.out.splitlines() == [f"{LOG_LINE} of fetch", f"{LOG_LINE} of ray-worker"]
    assert "==> team/worker-0 ray-worker <==" in outcome.err


def test_where_rays_own_files_are_is_said(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    put_worker(cluster)
    hint = slm("logs", "chat").err.splitlines()[-1]
    assert hint.startswith("  kubectl -n team exec worker-0 -- sh -c 'tail -n 50 ")
    assert "/serve/replica_chat_*.log" in hint


def test_a_pool_that_the_model_moves_to_counts(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    put_worker(cluster)
    put_placement(cluster, placed_status(moving_to=LATER_POOL))
    slm("logs", "chat")
    asked = [one.query.get("labelSelector", "") for one in cluster.kube.seen]
    assert f"smallmodel.dev/pool={LATER_POOL}" in asked


def test_how_many_lines_and_before_a_restart(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    put_worker(cluster)
    assert slm("logs", "chat", "--tail", "3", "--previous").code == 0
    assert cluster.log_queries == [
        {"tailLines": "3", "previous": "true", "container": "ray-worker"}
    ]


def test_only_the_fetch(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    put_placement(cluster, placed_status())
    put_fetch_pod(cluster)
    put_worker(cluster)
    outcome = slm("logs", "chat", "--fetch")
    assert (outcome.out, outcome.err) == (f"{LOG_LINE} of fetch\n", "")


def test_before_a_source_is_placed_all_fetches_of_its_namespace_are_shown(
    slm: Slm, cluster: FakeCluster
) -> None:
    put_model(cluster, "fetching", spec={"source": {"uri": "https://example.org/x.gguf"}})
    put_fetch_pod(cluster)
    outcome = slm("logs", "chat", "--fetch")
    assert (outcome.out, outcome.err) == (f"{LOG_LINE} of fetch\n", "")


def test_a_fetch_that_is_gone(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    outcome = slm("logs", "chat", "--fetch")
    assert outcome.code == 4
    assert "The Job that fetched its weights is gone" in outcome.err


def test_a_model_without_pods_says_where_to_look(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster, "unknown-model")
    outcome = slm("logs", "chat")
    assert outcome.code == 4
    assert "It is Failed; `slm describe chat -n team` says why" in outcome.err


def test_a_container_that_has_not_started_hides_no_other(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    put_placement(cluster, placed_status())
    put_fetch_pod(cluster)
    put_worker(cluster)
    cluster.silent = {"fetch"}
    outcome = slm("logs", "chat")
    assert outcome.out == f"{LOG_LINE} of ray-worker\n"
    assert "fetch is waiting to start" in outcome.err


def test_the_operator_and_the_gateway_have_logs(slm: Slm, cluster: FakeCluster) -> None:
    assert slm("logs", "--operator").out == f"{LOG_LINE} of operator\n"
    assert slm("logs", "--gateway").out == f"{LOG_LINE} of envoy\n{LOG_LINE} of agent\n"


def test_an_operator_that_is_not_there(slm: Slm, bare: FakeCluster) -> None:
    outcome = slm("logs", "--operator")
    assert outcome.code == 4
    assert "no namespace has a pod of the operator" in outcome.err


def test_it_has_to_be_said_whose(slm: Slm, cluster: FakeCluster) -> None:
    assert slm("logs").code == 2
    assert slm("logs", "chat", "--operator").code == 2
