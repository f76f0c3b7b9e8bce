"""The errors of the Kubernetes API that callers tell apart.

Not for: errors that a caller handles where they arise.
"""


class ApiError(Exception):
    """The Kubernetes API refused a request or did not answer it.

    Attributes:
        status: HTTP status; 0 when there was no answer.
        reason: the API server's machine-readable reason, such as "Conflict"; without an answer "Unreachable" or
            "Timeout".
        message: the API server's sentence.
        retry_after: seconds the server asked to wait, or None.
    """

    def __init__(self, *, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{message} ({status} {reason})")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class NotFound(ApiError):
    """The object, or the resource type itself, is not there."""


class Conflict(ApiError):
    """The object is not what the request took it for: another resourceVersion or another uid."""


class AlreadyExists(ApiError):
    """An object of that name is there already, ours or not."""


class Invalid(ApiError):
    """The object breaks the API's rules, or a webhook denies it; the message says why."""


class Forbidden(ApiError):
    """Not allowed: RBAC, a quota, an admission policy or a namespace that is going away; the message says which."""


def api_error(*, status: int, reason: str, message: str, retry_after: float | None = None) -> ApiError:
    """Make the error class that fits an answer.

    Args:
        status: HTTP status of the answer.
        reason: `reason` of the Status object in it, or the HTTP reason.
        message: `message` of the Status object in it.
        retry_after: seconds the server asked to wait, or None.

    Returns:
        The error, to be raised.
    """
    error: type[ApiError] = ApiError
    match status, reason:
        case 404, _:
            error = NotFound
        case 409, "AlreadyExists":
            error = AlreadyExists
        case 409, _:
            error = Conflict
        case 400 | 413 | 422, _:  # a webhook that denies without a code is answered with 400
            error = Invalid
        case 403, _:
            error = Forbidden
    return error(status=status, reason=reason, message=message, retry_after=retry_after)
