"""Whether a pod without a key is somebody at Google: a metadata server tells its service account, where there is one.

GKE and every virtual machine of Google's have one at a name of its own; elsewhere that name leads nowhere.
Not for: tokens, which obstore gets from the same server; nor which buckets that account may read.
"""

import socket
import time
from collections.abc import Callable
from functools import cache
from http.client import HTTPConnection, HTTPException

HOST = "metadata.google.internal"
PATIENCE_SECONDS = 10.0
"""GKE's server may leave a pod that has just begun without an answer for some seconds."""

_PATH = "/computeMetadata/v1/instance/service-accounts/default/email"
_FLAVOR = "Metadata-Flavor"
_ANSWER_SECONDS = 3.0
_PAUSE_SECONDS = 1.0


def why_nobody(
    host: str,
    *,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str | None:
    """Ask a metadata server for the service account of this pod.

    Args:
        host: the server, with its port if that is not 80.
        seconds: how long to ask again while it does not answer.
        clock: tells seconds that never go back.
        sleep: waits for seconds.

    Returns:
        None where it tells one; else why not, as a clause.
    """
    began = clock()
    while True:
        try:
            status = _asked(host)
        except socket.gaierror as error:
            if error.errno != socket.EAI_AGAIN:
                return "there is no metadata server of Google here"
        except (OSError, HTTPException):
            pass
        else:
            if status == 200:
                return None
            if status < 500 and status != 429:
                return "the metadata server of Google names no service account for the pod"
        if clock() - began >= seconds:
            return f"no metadata server of Google answered within {seconds:g} s"
        sleep(_PAUSE_SECONDS)


@cache
def why_nobody_here() -> str | None:
    """Ask the metadata server of Google, once for all models of a process; see `why_nobody`."""
    return why_nobody(HOST, seconds=PATIENCE_SECONDS)


def _asked(host: str) -> int:
    """Give the HTTP status of an answer; 404 where it is another server's than Google's. No proxy leads there."""
    connection = HTTPConnection(host, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", _PATH, headers={_FLAVOR: "Google"})
        answer = connection.getresponse()
        return answer.status if answer.getheader(_FLAVOR) == "Google" else 404
    finally:
        connection.close()
