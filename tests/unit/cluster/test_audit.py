"""What is written down of the calls to an API server, and how it is read against roles."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from cluster.addresses import ClusterAddresses
from cluster.audit import AUDITED, AuditLog, audit_policy, write_audit_policy
from cluster.folders import ClusterFiles
from cluster.programs import command_lines
from support.audited_calls import calls_of, refused, ungranted, unused
from support.chart_roles import Grant, Permission

FORBIDDEN: Final = (
    'secrets "token" is forbidden: User "system:serviceaccount:own:operator" cannot get resource '
    '"secrets" in API group "" in the namespace "team"'
)
ENDING: Final = (
    'secrets "token" is forbidden: unable to create new content in namespace team because it is '
    "being terminated"
)
GRANTS: Final = (
    Grant(Permission("", "secrets", "get"), "team"),
    Grant(Permission("apps", "deployments", "patch"), "own", frozenset({"gateway"})),
)


def event(verb: str, resource: str, *, code: int = 200, message: str = "", **ref: str) -> str:
    told: dict[str, Any] = {
        "user": {"username": "system:serviceaccount:own:operator"},
        "verb": verb,
        "requestURI": "/api/v1/whatever?limit=500",
        "objectRef": {"resource": resource, **ref},
        "responseStatus": {"code": code, "message": message},
    }
    return json.dumps(told)


SECRET: Final = event("get", "secrets", namespace="team", name="token")
DEPLOYMENT: Final = event("patch", "deployments", apiGroup="apps", namespace="own", name="gateway")


def test_calls_that_differ_in_nothing_are_one_and_are_what_a_role_must_allow() -> None:
    status = event("patch", "models", apiGroup="x", subresource="status", namespace="team")
    (secret,) = calls_of([SECRET, SECRET])
    (patch,) = calls_of([status])

    assert secret.account == "own/operator"
    assert (secret.permission, secret.namespace) == (Permission("", "secrets", "get"), "team")
    assert secret.refused == ""
    assert patch.permission == Permission("x", "models/status", "patch")


def test_an_apply_that_made_something_takes_two_verbs() -> None:
    made = calls_of([event("patch", "secrets", code=201, namespace="team")])
    changed = calls_of([event("patch", "secrets", namespace="team")])

    assert {call.permission.verb for call in made} == {"create", "patch"}
    assert {call.permission.verb for call in changed} == {"patch"}


def test_a_namespace_is_in_no_namespace() -> None:
    (call,) = calls_of([event("get", "namespaces", namespace="team", name="team")])
    assert call.namespace is None


def test_people_and_programs_without_an_account_are_left_out() -> None:
    told = json.loads(SECRET) | {"user": {"username": "admin"}}
    assert calls_of([json.dumps(told)]) == frozenset()


def test_where_the_roles_are_what_is_needed_nothing_is_said() -> None:
    calls = calls_of([SECRET, DEPLOYMENT])
    assert (refused(calls), ungranted(GRANTS, calls), unused(GRANTS, calls)) == ([], [], set())


def test_a_planted_grant_that_nobody_needs_is_seen() -> None:
    planted = Grant(Permission("", "secrets", "list"), None)
    assert unused([*GRANTS, planted], calls_of([SECRET, DEPLOYMENT])) == {planted}


@pytest.mark.parametrize(
    "other",
    [
        event("get", "secrets", namespace="elsewhere"),
        event("get", "configmaps", namespace="team"),
        event("patch", "deployments", apiGroup="apps", namespace="own", name="another"),
    ],
    ids=["another namespace", "another kind", "another name"],
)
def test_a_call_that_no_grant_covers_is_seen_and_uses_none(other: str) -> None:
    calls = calls_of([other])
    assert len(ungranted(GRANTS, calls)) == 1
    assert unused(GRANTS, calls) == set(GRANTS)


def test_a_planted_missing_verb_is_seen_as_refused() -> None:
    calls = calls_of([event("get", "secrets", code=403, message=FORBIDDEN, namespace="team")])
    assert refused(calls) == [f"own/operator: get secrets in team ({FORBIDDEN})"]


def test_a_namespace_that_ends_is_no_fault_of_a_role() -> None:
    calls = calls_of([event("create", "secrets", code=403, message=ENDING, namespace="team")])
    assert refused(calls) == []


def test_paths_that_are_no_objects_need_no_grant_and_may_be_refused() -> None:
    told = json.loads(SECRET) | {"requestURI": "/version?x=1"}
    del told["objectRef"]
    calls = calls_of([json.dumps(told)])
    assert (ungranted([], calls), refused(calls)) == ([], [])
    text = 'forbidden: User "system:serviceaccount:own:operator" cannot get path "/version"'
    told["responseStatus"] = {"code": 403, "message": text}
    assert len(refused(calls_of([json.dumps(told)]))) == 1


def test_the_policy_is_where_the_api_server_looks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.folders.STATE", tmp_path)
    files = ClusterFiles("dev")
    files.root.mkdir()
    write_audit_policy(files)
    line = command_lines(files, ClusterAddresses(2), 0, kubelet=False)["kube-apiserver"]

    (path,) = (word.partition("=")[2] for word in line if word.startswith("--audit-policy-file"))
    assert json.loads(Path(path).read_text()) == audit_policy()


def test_every_call_of_our_accounts_is_told_once_and_of_nobody_else() -> None:
    watch, others, nobody = audit_policy()["rules"]
    assert watch["userGroups"] == others["userGroups"]
    assert watch["userGroups"] == [f"system:serviceaccounts:{name}" for name in AUDITED]
    stages = {"RequestReceived", "ResponseStarted", "ResponseComplete"}
    assert stages - set(watch["omitStages"]) == {"ResponseStarted"}
    assert stages - set(others["omitStages"]) == {"ResponseComplete"}
    assert nobody == {"level": "None"}


def test_the_log_is_read_from_where_it_was_and_without_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    assert list(AuditLog(path).lines()) == []
    path.write_text("before\n")
    log = AuditLog(path)
    with path.open("a") as file:
        file.write("one\ntwo\nhal")
    assert list(log.lines()) == ["one\n", "two\n"]
    path.write_text("")
    with pytest.raises(ValueError, match="begun anew"):
        list(log.lines())
