"""What can go wrong between the operator and an API server.

The text of each is the value, the rule and the next step. No text holds the value of a Secret.
"""


class ApiError(Exception):
    """The base: a call to the API server did not do what was asked.

    Attributes:
        status: The HTTP status, or None where there was no answer.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class NoConnection(ApiError):
    """Neither a kubeconfig nor a service account tells how to reach a cluster."""


class Unreachable(ApiError):
    """There was no answer in time; whether a write was done is unknown."""


class Busy(ApiError):
    """The API server answered that it cannot do this at the moment.

    Attributes:
        retry_after: Seconds that the API server asks to wait, if it says.
    """

    def __init__(
        self, message: str, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, status=status)
        self.retry_after = retry_after


class ServerFailed(ApiError):
    """The API server, or a webhook that it asked, failed."""


class Unauthorized(ApiError):
    """The API server does not know who is asking."""


class Forbidden(ApiError):
    """The API server knows who is asking, and does not let them."""


class NamespaceEnding(Forbidden):
    """The namespace is being deleted, so nothing new can be made in it."""


class NotFound(ApiError):
    """There is no object of that name."""


class NamespaceMissing(NotFound):
    """There is no such namespace to make the object in."""


class ApiMissing(ApiError):
    """The API server does not serve this kind of object: its CRD is not installed."""


class Conflict(ApiError):
    """The object is not the one, or not in the version, from which the write was computed."""


class AlreadyExists(Conflict):
    """An object of that name is there already."""


class NameConflict(ApiError):
    """An object of that name is there, and belongs to somebody else."""


class Invalid(ApiError):
    """The API server refuses the object for what it says."""


class ListExpired(ApiError):
    """The list changed too much since its first page was read."""
