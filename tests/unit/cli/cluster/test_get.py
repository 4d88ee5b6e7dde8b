"""`slm get` of a cluster: rows and objects as in local mode."""

import json

import pytest
import yaml

from builders.cluster_objects import put_model
from builders.fake_cluster import FakeCluster
from builders.small_model_states import STATES
from support.command_line import Slm


def test_a_row_has_the_columns_of_local_mode(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    header, row = slm("get").out.splitlines()
    assert header.split() == ["NAME", "MODEL", "ENGINE", "VARIANT", "REPLICAS", "STATE", "URL"]
    assert row.split() == [
        "chat", "little-1b", "LlamaCpp", "q4_1", "1/3", "Ready",
        "http://smallmodel-gateway.smallmodel-system.svc/team/v1",
    ]  # fmt: skip


def test_all_namespaces_are_shown_with_their_names(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    header, row = slm("get", "-A").out.splitlines()
    assert header.startswith("NAMESPACE")
    assert row.startswith("team ")
    assert cluster.kube.seen[-1].path == "/apis/smallmodel.dev/v1alpha1/smallmodels"


def test_wide_rows_say_why_and_where(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster, "unknown-model")
    row = slm("get", "chat", "-o", "wide").out.splitlines()[1]
    assert "Failed" in row
    assert "UnknownModel" in row
    assert "no ModelCard has that name" in row


@pytest.mark.parametrize("state", sorted(STATES))
def test_every_state_has_a_row(slm: Slm, cluster: FakeCluster, state: str) -> None:
    put_model(cluster, state)
    outcome = slm("get", "chat")
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) == 2


def test_one_object_is_printed_as_kubectl_prints_it(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    stored = next(
        one for path, one in cluster.kube.objects.items() if path.endswith("smallmodels/chat")
    )
    stored["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    printed = yaml.safe_load(slm("get", "chat", "-o", "yaml").out)
    assert printed["kind"] == "SmallModel"
    assert printed["status"] == stored["status"]
    assert "managedFields" not in printed["metadata"]


def test_several_objects_are_a_list(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    printed = json.loads(slm("get", "-o", "json").out)
    assert (printed["kind"], len(printed["items"])) == ("List", 1)


def test_no_model_is_no_error(slm: Slm, cluster: FakeCluster) -> None:
    outcome = slm("get")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == "No SmallModels in namespace team.\n"
    assert slm("get", "-A").err == "No SmallModels in any namespace.\n"


def test_a_name_and_all_namespaces_exclude_each_other(slm: Slm, cluster: FakeCluster) -> None:
    outcome = slm("get", "chat", "-A")
    assert outcome.code == 2
    assert "give -n NAMESPACE instead of -A" in outcome.err


def test_a_status_of_another_version_is_told(slm: Slm, cluster: FakeCluster) -> None:
    put_model(cluster)
    stored = next(
        one for path, one in cluster.kube.objects.items() if path.endswith("smallmodels/chat")
    )
    stored["status"]["mood"] = "good"
    outcome = slm("get")
    assert outcome.code == 1
    assert "has a mood that this version of slm does not know" in outcome.err
