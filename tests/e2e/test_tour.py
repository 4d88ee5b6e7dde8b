"""The README's tour: six lines become a model that answers, and nothing is left of it."""

import re
from collections.abc import Iterator

import httpx
import pytest
from openai import NotFoundError, OpenAI

from cluster.waiting import wait_until
from support.installation import SYSTEM, Installed, Team
from support.port_forward import port_forward

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def team(operator: Installed) -> Iterator[Team]:
    """One namespace for the whole tour."""
    made = operator.new_team()
    yield made
    operator.remove_team(made)


@pytest.fixture(scope="module")
def before(team: Team) -> list[str]:
    """What the namespace has before any model."""
    return team.everything()


@pytest.fixture(scope="module")
def chat(team: Team, before: list[str]) -> Team:
    """The six lines, applied and waited for."""
    del before
    team.apply_model("chat")
    team.wait_ready("chat")
    return team


@pytest.fixture
def client(chat: Team) -> Iterator[OpenAI]:
    """The official client, at the gateway."""
    with port_forward(chat.cluster, SYSTEM, "deploy/smallmodel-gateway", 8080) as address:
        yield OpenAI(
            base_url=f"http://{address}/{chat.namespace}/v1", api_key="unused", max_retries=0
        )


def test_the_official_client_is_answered(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="chat", messages=[{"role": "user", "content": "Hello!"}], max_tokens=8
    )

    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 8
    assert answer.choices[0].finish_reason in {"length", "stop"}


def test_the_official_client_gets_a_stream(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="chat",
            messages=[{"role": "user", "content": "Count to ten."}],
            max_tokens=16,
            stream=True,
        )
    )

    assert len(chunks) > 2
    assert chunks[-1].choices[0].finish_reason in {"length", "stop"}


def test_the_namespace_lists_its_models(client: OpenAI, chat: Team) -> None:
    assert [model.id for model in client.models.list()] == ["chat"]
    with pytest.raises(NotFoundError, match="does not exist"):
        client.chat.completions.create(model="other", messages=[{"role": "user", "content": "?"}])
    del chat


def test_a_pod_of_another_namespace_is_refused(chat: Team, operator: Installed) -> None:
    service = operator.cluster.get("-n", SYSTEM, "service", "smallmodel-gateway")
    url = f"http://{service['spec']['clusterIP']}/{chat.namespace}/v1/models"

    refused = httpx.get(url, trust_env=False, timeout=10)

    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "namespace_forbidden"


def test_the_status_says_what_is_so(chat: Team) -> None:
    status = chat.model("chat")["status"]
    conditions = {found["type"]: found for found in status["conditions"]}

    for kind in ("Resolved", "Placed", "Deployed", "Verified", "Available", "Ready"):
        assert conditions[kind]["status"] == "True", conditions[kind]
    for kind in ("Reconciling", "Stalled"):
        assert conditions[kind]["status"] == "False", conditions[kind]
    assert status["url"].endswith(f"/{chat.namespace}/v1")
    assert status["replicas"] == 1
    assert [copy["cluster"] for copy in status["copies"]] == ["local"]
    assert status["performance"]["timeToFirstTokenSeconds"] > 0


def test_kubectl_get_fits_eighty_columns(chat: Team) -> None:
    lines = chat.kubectl("get", "sm").splitlines()

    assert max(map(len, lines)) <= 80, "\n".join(lines)
    assert re.match(r"NAME +MODEL +ENGINE", lines[0])


def test_events_are_told_once(chat: Team) -> None:
    events = chat.cluster.get("-n", chat.namespace, "events.events.k8s.io")["items"]
    ours = [e["reason"] for e in events if e["regarding"]["kind"] == "SmallModel"]

    assert "Verified" in ours
    assert len(ours) == len(set(ours)), ours


def test_a_restarted_operator_writes_nothing(chat: Team, operator: Installed) -> None:
    operator.cluster.kubectl("-n", SYSTEM, "delete", "pod", operator.operator_pod(), within=60)
    operator.scale_operator(1)
    wait_until(
        lambda: operator.measure("smallmodel_models") == 1 and operator.queued() == 0,
        "the new operator has read everything and worked on it",
        within=60,
    )

    writes = {
        call: count
        for call, count in operator.calls().items()
        if call[0] not in {"get", "list", "watch"} and call[1] != "leases"
    }
    assert writes == {}
    del chat


def test_a_second_model_shares_the_pool(chat: Team) -> None:
    chat.apply_model("second")
    chat.wait_ready("second")

    pools = {chat.model(name)["status"]["copies"][0]["pool"] for name in ("chat", "second")}

    assert len(pools) == 1
    assert len(chat.names("rayservices")) == 1


def test_deleting_the_models_leaves_nothing(chat: Team, before: list[str]) -> None:
    chat.kubectl("delete", "sm", "--all", within=120)

    wait_until(
        lambda: chat.everything() == before,
        "nothing is left in the namespace",
        within=150,
        explain=lambda: f"before: {before}\nnow: {chat.everything()}",
    )
    assert chat.cluster.get("-n", "slm-cluster-local", "mpl")["items"] == []
