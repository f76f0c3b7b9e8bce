"""How the init container and the resolver say why a model cannot be prepared: a reason for programs, words for people.

Not for: Triton's own load errors; the operator reads those from Triton's log.
"""

import json
import os
import sys
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

TERMINATION_LOG = Path("/dev/termination-log")
TERMINATION_LOG_BYTES = 4096  # what the kubelet keeps


class Reason(StrEnum):
    """Why a model cannot be prepared. The operator copies the value into the service's status."""

    ACCESS_DENIED = "AccessDenied"
    BAD_CONFIG = "BadConfig"
    BAD_CREDENTIALS = "BadCredentials"
    BAD_LAYOUT = "BadLayout"
    BAD_REQUEST = "BadRequest"
    INTERNAL_ERROR = "InternalError"
    NO_SPACE = "NoSpace"
    NOT_FOUND = "NotFound"
    NO_VERSIONS = "NoVersions"
    SOURCE_CHANGED = "SourceChanged"
    STORAGE_ERROR = "StorageError"
    UNREACHABLE = "Unreachable"
    UNREADABLE = "Unreadable"


class PrepareError(Exception):
    """A model cannot be prepared.

    Attributes:
        reason: what kind of failure it is.
        message: what is wrong, where, and what to do; free of control characters.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message


def escaped(text: str) -> str:
    """Make text from a user's storage fit for a message.

    Args:
        text: a file name or a piece of a file; any characters, lone surrogates among them.

    Returns:
        At most 200 characters of the text, with double quotes and what is not printable as escape sequences.
    """
    short = text if len(text) <= 200 else text[:199] + "…"
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in short
    ).replace('"', '\\"')


def quoted(text: str) -> str:
    """Escape text as `escaped` does and put it in double quotes."""
    return f'"{escaped(text)}"'


def termination_message(error: PrepareError) -> str:
    """Render a failure as the kubelet keeps it.

    Args:
        error: the failure.

    Returns:
        One line of JSON, {"reason": …, "message": …}, of at most 4096 bytes in UTF-8; a longer message is cut.
    """

    def render(message: str) -> str:
        return json.dumps({"reason": error.reason.value, "message": message}, ensure_ascii=False)

    message = error.message.encode(errors="backslashreplace").decode()  # no lone surrogates
    line = render(message)
    if len(line.encode()) <= TERMINATION_LOG_BYTES:
        return line
    fits, too_long = 0, len(message)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if len(render(message[:middle] + "…").encode()) <= TERMINATION_LOG_BYTES:
            fits = middle
        else:
            too_long = middle
    return render(message[:fits] + "…")


def report(error: PrepareError, *, termination_log: Path) -> None:
    """Write a failure where the kubelet and where people read it: the termination log and stderr.

    Args:
        error: the failure.
        termination_log: file that the kubelet reads; it is not created, as outside a container nobody reads it.
    """
    line = termination_message(error)
    print(line, file=sys.stderr, flush=True)
    write_termination_log(line, termination_log)


def write_termination_log(line: str, path: Path) -> None:
    """Write a line where the kubelet reads it, if it is there: outside a container nobody reads it."""
    with suppress(OSError):  # the log has the same line
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(line.encode())
