"""An API server's answer that is no success, as an error with a type."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from smallmodel_operator.clusters import errors

_LONGEST: Final = 800


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    content: bytes
    retry_after: str | None = None

    def json(self) -> Any:
        """Return the parsed content.

        Raises:
            ServerFailed: It is no JSON.
        """
        try:
            return json.loads(self.content)
        except ValueError as error:
            raise errors.ServerFailed(
                f"the API server answered {self.status} with something that is no JSON; "
                "check that its address is not that of a proxy",
                status=self.status,
            ) from error


def refusal(answer: Answer, what: str, *, confidential: bool = False) -> errors.ApiError:
    """Return the error for an answer with a status of 400 or more.

    Args:
        answer: The refusal.
        what: What was asked for, fit to begin a sentence: `apply RayService team/cpu-1`.
        confidential: The API server's words may quote a Secret, and are left out.
    """
    told = _status_object(answer)
    words = _fields_of(told) if confidential else _words_of(told, answer)
    text = f"{what}: the API server answered {answer.status}, {words}"
    if answer.status == 401:
        return errors.Unauthorized(f"{text}; renew the credentials", status=401)
    if answer.status == 403:
        return _forbidden(told, text)
    if answer.status == 404:
        return _not_found(told, text)
    if answer.status == 409 or _is_another_object(told):
        exists = told.get("reason") == "AlreadyExists"
        kind = errors.AlreadyExists if exists else errors.Conflict
        return kind(f"{text}; it is read again before the next try", status=answer.status)
    if answer.status == 410:
        return errors.ListExpired(f"{text}; the list is read again", status=410)
    if answer.status in {429, 503, 504}:
        return errors.Busy(
            f"{text}; it is tried again", status=answer.status, retry_after=_seconds(answer)
        )
    if answer.status >= 500 and not _breaks_the_schema(told):
        return errors.ServerFailed(f"{text}; look into its log", status=answer.status)
    return errors.Invalid(text, status=answer.status)


def _forbidden(told: Mapping[str, Any], text: str) -> errors.ApiError:
    if "NamespaceTerminating" in {cause.get("reason") for cause in _causes(told)}:
        return errors.NamespaceEnding(f"{text}; nothing is made there any more", status=403)
    return errors.Forbidden(f"{text}; grant it by a Role or a ClusterRole", status=403)


def _not_found(told: Mapping[str, Any], text: str) -> errors.ApiError:
    details = told.get("details") or {}
    if not details.get("name"):
        return errors.ApiMissing(f"{text}; install the CRD of this kind", status=404)
    if details.get("kind") == "namespaces":
        return errors.NamespaceMissing(f"{text}; make the namespace first", status=404)
    return errors.NotFound(text, status=404)


def _is_another_object(told: Mapping[str, Any]) -> bool:
    """Tell whether an apply met an object with another uid, which is called invalid."""
    return {cause.get("field") for cause in _causes(told)} == {"metadata.uid"}


def _breaks_the_schema(told: Mapping[str, Any]) -> bool:
    """Tell whether a server-side apply was refused for its fields, which is answered with 500."""
    return str(told.get("message", "")).startswith("failed to create typed patch object")


def _status_object(answer: Answer) -> Mapping[str, Any]:
    """Return the `Status` that an API server sends, or nothing for any other content."""
    try:
        told = json.loads(answer.content)
    except ValueError:
        return {}
    return told if isinstance(told, dict) and told.get("kind") == "Status" else {}


def _causes(told: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return (told.get("details") or {}).get("causes") or []


def _words_of(told: Mapping[str, Any], answer: Answer) -> str:
    words = told.get("message") or answer.content.decode(errors="replace") or "without a word"
    joined = " ".join(words.split())
    return joined if len(joined) <= _LONGEST else joined[: _LONGEST - 1] + "…"


def _fields_of(told: Mapping[str, Any]) -> str:
    fields = sorted({cause["field"] for cause in _causes(told) if cause.get("field")})
    named = f" about {', '.join(fields)}" if fields else ""
    reason = told.get("reason") or "no reason"
    return f"{reason}{named} (its words are left out, since they may quote a Secret)"


def _seconds(answer: Answer) -> float | None:
    given = answer.retry_after
    return float(given) if given and given.isdigit() else None
