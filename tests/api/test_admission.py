"""Which manifests the API server takes, which it refuses, and what is said of the rest.

The tables are those of the unit tests: what `fake_admit` and `slm` say there, a real one says here.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from builders.admission import ACCEPTED, REFUSED
from builders.bad_manifests import PROBLEMS
from builders.clusters import around, view
from builders.fake_api_server import fake_admit
from builders.pool_values import pool_settings
from builders.yaml_objects import YamlObject, small_model
from cluster.access import KubeAccess
from smallmodel_operator.api import crd
from smallmodel_operator.api.conditions import ConditionType
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Engine, SmallModel
from smallmodel_operator.local.bundled import fetch_bundled_cards
from smallmodel_operator.reconcile.model import decide_model
from smallmodel_operator.reconcile.model_values import ModelSight
from smallmodel_operator.status.state import find

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]

KINDS: Final = {kind.name: kind for kind in crd.KINDS}
UNSEEN: Final = "a key given twice"
"""kubectl keeps the second one and says nothing; `slm validate` says where both are."""

TOLD: Final[dict[str, tuple[YamlObject, ConditionType, Reason]]] = {
    "a model that no card has": (
        small_model(model="smollm2-135m-instuct"),
        ConditionType.RESOLVED,
        Reason.UNKNOWN_MODEL,
    ),
    "a variant that the card lacks": (
        small_model(model="smollm2-135m-instruct", variant="q2_k"),
        ConditionType.RESOLVED,
        Reason.UNKNOWN_VARIANT,
    ),
    "a context beyond the model's": (
        small_model(model="smollm2-135m-instruct", contextLength=131072),
        ConditionType.RESOLVED,
        Reason.CONTEXT_TOO_LONG,
    ),
    "an engine argument outside the list": (
        small_model(model="smollm2-135m-instruct", engineArgs={"model": "/etc/passwd"}),
        ConditionType.RESOLVED,
        Reason.ENGINE_ARG_REFUSED,
    ),
    "a model whose weights nobody has": (
        small_model(model="gemini-nano"),
        ConditionType.RESOLVED,
        Reason.CLOSED_MODEL,
    ),
    "a licence that was not accepted": (
        small_model(model="deepseek-coder-1.3b-instruct"),
        ConditionType.RESOLVED,
        Reason.LICENSE_NOT_ACCEPTED,
    ),
    "a path of one machine": (
        small_model(source={"uri": "file:///weights/tiny.gguf"}),
        ConditionType.RESOLVED,
        Reason.SOURCE_NOT_SUPPORTED,
    ),
    "a Secret that is not there": (
        small_model(source={"uri": "hf://a/b/c.gguf", "secretRef": {"name": "none"}}),
        ConditionType.RESOLVED,
        Reason.SECRET_MISSING,
    ),
    "more memory than any node has": (
        small_model(model="smollm2-135m-instruct", resources={"memory": "4Ti"}),
        ConditionType.PLACED,
        Reason.MEMORY_FIT,
    ),
    "more processors than any node has": (
        small_model(model="smollm2-135m-instruct", resources={"cpu": "512"}),
        ConditionType.PLACED,
        Reason.CPU_FIT,
    ),
    "a device that no node has": (
        small_model(
            model="smollm2-135m-instruct",
            resources={"accelerator": {"class": "nvidia-h100", "count": 1}},
        ),
        ConditionType.PLACED,
        Reason.ACCELERATOR_MISSING,
    ),
}
"""What an API server takes, since only the catalogue and the nodes tell that it cannot work."""


def rules(node: Any) -> Iterator[str]:
    """The messages of all CEL rules in a schema."""
    if isinstance(node, list):
        for child in node:
            yield from rules(child)
    if isinstance(node, dict):
        yield from (rule["message"] for rule in node.get("x-kubernetes-validations", ()))
        yield from rules(list(node.values()))


def within(namespace: str, given: YamlObject) -> str:
    """The text of an object, in that namespace where its kind has one."""
    metadata = given["metadata"]
    if KINDS[given["kind"]].scope == "Namespaced":
        metadata = metadata | {"namespace": namespace}
    return json.dumps(given | {"metadata": metadata})


def offered(plane: KubeAccess, namespace: str, text: str) -> tuple[bool, str]:
    """Whether the API server would take a manifest, and what it said."""
    ended = plane.try_kubectl(
        "-n", namespace, "create", "--dry-run=server", "-o", "json", "-f", "-", stdin=text
    )
    return ended.returncode == 0, ended.stdout if ended.returncode == 0 else ended.stderr


@pytest.mark.parametrize("case", ACCEPTED)
def test_it_is_taken(control_plane: KubeAccess, namespace: str, case: str) -> None:
    given = ACCEPTED[case]
    taken, said = offered(control_plane, namespace, within(namespace, given))
    assert taken, said
    KINDS[given["kind"]].model.model_validate(json.loads(said))


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused(control_plane: KubeAccess, namespace: str, case: str) -> None:
    given = REFUSED[case]
    taken, said = offered(control_plane, namespace, within(namespace, given))
    assert not taken, said
    # A rule of ours is quoted, so that whoever applies it reads what to change.
    schema = crd.structural_schema(KINDS[given["kind"]].model)
    broken = set(fake_admit(schema, given)) & set(rules(schema))
    assert [message for message in broken if message not in said] == []


@pytest.mark.parametrize("case", sorted(PROBLEMS.keys() - {UNSEEN}))
def test_what_slm_refuses_is_refused_here_too(
    control_plane: KubeAccess, namespace: str, case: str
) -> None:
    taken, said = offered(control_plane, namespace, PROBLEMS[case][0])
    assert not taken, said


def test_one_of_two_equal_keys_is_lost_before_an_api_server_sees_it(
    control_plane: KubeAccess, namespace: str
) -> None:
    taken, said = offered(control_plane, namespace, PROBLEMS[UNSEEN][0])
    assert taken, said
    assert json.loads(said)["spec"]["model"] == "b"


@pytest.mark.parametrize("case", TOLD)
def test_what_the_api_server_takes_is_told_by_a_condition(
    control_plane: KubeAccess, namespace: str, case: str
) -> None:
    given, kind, reason = TOLD[case]
    taken, said = offered(control_plane, namespace, json.dumps(given))
    assert taken, said
    sight = ModelSight(
        model=SmallModel.model_validate(json.loads(said)),
        catalog=fetch_bundled_cards(),
        views={"local": view(engines=frozenset({Engine.LLAMA_CPP, Engine.VLLM}))},
        around=around(),
        secrets=frozenset(),
        url="http://gateway/team/v1",
        hub_id="hub",
    )
    status = decide_model(sight, pool_settings(), "2026-11-24T12:00:00Z").status
    assert status is not None
    condition = find(status, kind)
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", reason), condition.message
    stalled = find(status, ConditionType.STALLED)
    assert stalled is not None
    assert stalled.message == condition.message
