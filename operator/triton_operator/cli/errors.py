"""What ends a command early: one clear line, and an exit code that scripts can go by.

Not for: what a command has found out about a service; that is its result.
"""

from enum import IntEnum

from triton_operator.api.names import GROUP, INFERENCE_SERVICE
from triton_operator.edges.errors import ApiError, Conflict, Forbidden, NotFound


class Exit(IntEnum):
    """Exit codes of all commands."""

    DONE = 0
    FAILED = 1  # the service has failed, what was asked for was refused, a check has found something
    USAGE = 2  # the command line is wrong
    UNFINISHED = 3  # the time is out
    PERSON = 4  # a canary waits for a person
    UNASKED = 5  # the cluster could not be asked: none, wrong context, no CRD, no permission, no such name


class Trouble(Exception):
    """Ends the command.

    Attributes:
        message: what was wrong, where, and what to do, in one line.
        code: the exit code.
    """

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def told(error: ApiError, *, context: str, server: str) -> str:
    """Put an error of the API server into one line.

    Args:
        error: the error.
        context: the context of the kubeconfig; "" in a pod.
        server: address of the API server.
    """
    where = f"the cluster of context {context}" if context else f"the cluster at {server}"
    words = " ".join(error.message.split())
    if error.status == 0:
        return f"no cluster: {where} does not answer at {server}; kubectl config get-contexts lists others ({words})"
    if error.status == 401:
        return f"not logged in: {where} does not take the credentials; log in again, or choose another --context"
    if isinstance(error, Forbidden):
        return f"no permission: {words}"
    if is_missing_kind(error):
        return (
            f"no CRD: {where} has no {INFERENCE_SERVICE.plural}.{GROUP}; install the chart there, or choose"
            " another --context"
        )
    if isinstance(error, Conflict):
        return f"it has changed meanwhile, try again: {words}"
    return words


def is_missing_kind(error: ApiError) -> bool:
    """Say whether the API server does not know the kind at all; else it knows no object of that name."""
    return isinstance(error, NotFound) and ("page not found" in error.message or "requested resource" in error.message)
