"""What API servers refuse, by type. The words were recorded from Kubernetes 1.36."""

import json
from typing import Any

import pytest

from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.refusals import Answer, refusal

GONE = {"name": "x", "kind": "configmaps"}
ENDING = {
    "name": "x",
    "kind": "configmaps",
    "causes": [{"reason": "NamespaceTerminating", "message": "…", "field": "metadata.namespace"}],
}
OTHER_UID = {"name": "x", "causes": [{"reason": "FieldValueInvalid", "field": "metadata.uid"}]}
BAD_FIELD = {"name": "x", "causes": [{"reason": "FieldValueInvalid", "field": "spec.cpu"}]}
UNDECLARED = "failed to create typed patch object (a; /v1, Kind=X): .foo: field not declared"

CASES: dict[str, tuple[int, str, str, dict[str, Any], type[errors.ApiError]]] = {
    "an unknown caller": (401, "Unauthorized", "Unauthorized", {}, errors.Unauthorized),
    "a caller without the right": (403, "Forbidden", "cannot list", {}, errors.Forbidden),
    "a namespace that ends": (403, "Forbidden", "is forbidden", ENDING, errors.NamespaceEnding),
    "no such object": (404, "NotFound", "not found", GONE, errors.NotFound),
    "no such namespace": (
        404,
        "NotFound",
        "not found",
        {"name": "team", "kind": "namespaces"},
        errors.NamespaceMissing,
    ),
    "no such kind": (404, "NotFound", "could not find", {}, errors.ApiMissing),
    "another version": (409, "Conflict", "has been modified", GONE, errors.Conflict),
    "another object of the name": (422, "Invalid", "immutable", OTHER_UID, errors.Conflict),
    "an object that is there": (409, "AlreadyExists", "exists", GONE, errors.AlreadyExists),
    "a list that changed": (410, "Expired", "too old", {}, errors.ListExpired),
    "what the schema forbids": (422, "Invalid", "must be", BAD_FIELD, errors.Invalid),
    "an unknown field, created": (400, "BadRequest", "strict decoding", {}, errors.Invalid),
    "an unknown field, applied": (500, "", UNDECLARED, {}, errors.Invalid),
    "too many calls": (429, "TooManyRequests", "slow down", {}, errors.Busy),
    "no storage": (503, "ServiceUnavailable", "etcd", {}, errors.Busy),
    "a slow storage": (504, "Timeout", "timed out", {}, errors.Busy),
    "a broken webhook": (500, "InternalError", "failed calling webhook", {}, errors.ServerFailed),
}


def answered(status: int, reason: str, message: str, details: dict[str, Any]) -> Answer:
    body = {"kind": "Status", "reason": reason, "message": message, "details": details}
    return Answer(status=status, content=json.dumps(body).encode())


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_has_its_type(case: str) -> None:
    status, reason, message, details, expected = CASES[case]
    error = refusal(answered(status, reason, message, details), "apply ConfigMap team/x")
    assert type(error) is expected
    assert error.status == status
    assert str(error).startswith(f"apply ConfigMap team/x: the API server answered {status}, ")
    assert message in str(error)


def test_a_kind_that_is_not_served_is_told_from_an_object_that_is_not_there() -> None:
    """For a group that it does not know at all, an API server sends plain text."""
    error = refusal(Answer(status=404, content=b"404 page not found\n"), "read X a/b")
    assert isinstance(error, errors.ApiMissing)
    assert "install the CRD" in str(error)


def test_the_pause_that_is_asked_for_is_kept() -> None:
    error = refusal(Answer(status=429, content=b"", retry_after="7"), "list nodes")
    assert isinstance(error, errors.Busy)
    assert error.retry_after == 7.0


@pytest.mark.parametrize("retry_after", [None, "", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_pause_that_is_no_number_is_none(retry_after: str | None) -> None:
    error = refusal(Answer(status=503, content=b"", retry_after=retry_after), "list nodes")
    assert isinstance(error, errors.Busy)
    assert error.retry_after is None


@pytest.mark.parametrize("status", [400, 403, 409, 422, 429, 500, 503])
def test_words_about_a_secret_are_left_out(status: int) -> None:
    details = {"causes": [{"field": "data[token]", "message": "topsecret"}]}
    answer = answered(status, "Invalid", 'invalid value "topsecret"', details)
    error = refusal(answer, "apply Secret team/token", confidential=True)
    assert "topsecret" not in str(error)
    assert "data[token]" in str(error)


def test_a_long_refusal_is_cut() -> None:
    error = refusal(answered(422, "Invalid", "long " * 1000, {}), "apply X a/b")
    assert len(str(error)) < 1000
    assert "…" in str(error)


def test_an_answer_that_is_no_json_is_the_servers_fault() -> None:
    with pytest.raises(errors.ServerFailed, match="check that its address is not that of a proxy"):
        Answer(status=200, content=b"<html>").json()


def test_a_refusal_without_a_word_is_still_told() -> None:
    assert "without a word" in str(refusal(Answer(status=500, content=b""), "list nodes"))


def test_json_that_is_no_status_is_quoted() -> None:
    assert "[1]" in str(refusal(Answer(status=500, content=b"[1]"), "list nodes"))
