"""What the two programs have in common: a request in, an exit code and a line for the kubelet out.

Not for: what they do; that is `models.prepare` and `models.resolve`.
"""

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import NoReturn

from triton_operator.models.credentials import Credentials
from triton_operator.models.failure import PrepareError, Reason, report
from triton_operator.models.memory import keep_buffers
from triton_operator.models.request import ENVIRONMENT_VARIABLE, PrepareRequest


def run(
    program: Callable[[PrepareRequest, Credentials], Awaitable[None]],
    environment: MutableMapping[str, str],
    *,
    termination_log: Path,
    credentials: Path,
) -> int:
    """Do what the environment asks for.

    Args:
        program: what is done.
        environment: of this process: holds the request, and gets the Secret's proxies and certificates.
        termination_log: where the kubelet reads why the container failed.
        credentials: where the Secret is mounted, if there is one.

    Returns:
        The exit code: 0, or 1 after a failure that has been reported.
    """
    keep_buffers()
    try:
        request = PrepareRequest.from_json(environment.get(ENVIRONMENT_VARIABLE, ""))
        given = Credentials.read(credentials, dict(environment))
        given.apply(environment)
        asyncio.run(_awaited(program(request, given)))
    except PrepareError as error:
        report(error, termination_log=termination_log)
        return 1
    except Exception as error:
        traceback.print_exc()
        message = f"The program failed unexpectedly ({type(error).__name__}); its log has the trace: report it."
        report(PrepareError(Reason.INTERNAL_ERROR, message), termination_log=termination_log)
        return 1
    return 0


def obey_termination() -> None:
    """End when the kubelet says so: a container's first process gets no SIGTERM unless it has a handler."""
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(128 + number))


def end(code: int) -> NoReturn:
    """End the process at once, without taking the interpreter apart.

    obstore's threads may still be handing over results, and a thread that meets an interpreter half taken apart aborts
    the process (exit code 134): https://github.com/PyO3/pyo3-async-runtimes/issues/40
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def _awaited(work: Awaitable[None]) -> None:
    await work
