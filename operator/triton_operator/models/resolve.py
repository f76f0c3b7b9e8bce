"""The resolver's program: which version of each model there is, and its digest, without fetching it.

`python -m triton_operator.models.resolve` reads the same environment variable as `models.prepare`, and ends with 0 and
a termination message of one JSON line, or with 1 and one that says why not.
Not for: being imported by the operator.
"""

import json
import os
from collections.abc import MutableMapping
from pathlib import Path

from triton_operator.models.credentials import DIRECTORY, Credentials
from triton_operator.models.failure import TERMINATION_LOG, write_termination_log
from triton_operator.models.program import end, obey_termination, run
from triton_operator.models.request import PrepareRequest
from triton_operator.models.sources import source_of
from triton_operator.models.survey import check_digest


async def resolve(request: PrepareRequest, credentials: Credentials) -> str:
    """Find versions and digests.

    Args:
        request: the models; of one without a version the highest one is found.
        credentials: what the user gave for them.

    Returns:
        One line of JSON: {"models": [{"name": …, "version": …, "digest": …, "bytes": …}]}, in the request's order.

    Raises:
        PrepareError: a model cannot be found, or is not what its digest says.
    """
    answers = []
    for model in request.models:
        source = source_of(model, credentials, volume_bytes=None)
        try:
            survey = await source.survey()
        finally:
            await source.close()
        check_digest(model, survey)
        answers.append({"name": model.name, "version": survey.version, "digest": survey.digest, "bytes": survey.size})
    return json.dumps({"models": answers}, separators=(",", ":"))


def main(
    environment: MutableMapping[str, str] = os.environ,
    *,
    termination_log: Path = TERMINATION_LOG,
    credentials: Path = DIRECTORY,
) -> int:
    """Resolve the models that the environment names.

    Args:
        environment: holds the request.
        termination_log: where the kubelet reads the answer, or why there is none.
        credentials: where the user's Secret is mounted, if there is one.

    Returns:
        The exit code: 0 with an answer, 1 after a failure that has been reported.
    """

    async def program(request: PrepareRequest, given: Credentials) -> None:
        answer = await resolve(request, given)
        print(answer, flush=True)
        write_termination_log(answer, termination_log)

    return run(program, environment, termination_log=termination_log, credentials=credentials)


if __name__ == "__main__":
    obey_termination()
    end(main())
