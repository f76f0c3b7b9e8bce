"""The init container's program: prepare the model repository that Triton serves, or say why that cannot be.

`python -m triton_operator.models.prepare` reads one environment variable (see `models.request`), works without network
and without a shell, and ends with 0, or with 1 and a termination message of one JSON line.
Not for: being imported by the operator; that writes the request with `models.request`.
"""

import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

from triton_operator.models.failure import TERMINATION_LOG, PrepareError, Reason, report
from triton_operator.models.place import place
from triton_operator.models.request import ENVIRONMENT_VARIABLE, PrepareRequest


def main(environment: Mapping[str, str] = os.environ, *, termination_log: Path = TERMINATION_LOG) -> int:
    """Prepare the model that the environment names.

    Args:
        environment: holds the request.
        termination_log: where the kubelet reads why the container failed.

    Returns:
        The exit code: 0 when the repository is ready, 1 after a failure that has been reported.
    """
    try:
        request = PrepareRequest.from_json(environment.get(ENVIRONMENT_VARIABLE, ""))
        place(request)
    except PrepareError as error:
        report(error, termination_log=termination_log)
        return 1
    except Exception as error:
        traceback.print_exc()
        message = f"The init container failed unexpectedly ({type(error).__name__}); its log has the trace: report it."
        report(PrepareError(Reason.INTERNAL_ERROR, message), termination_log=termination_log)
        return 1
    print(f"Prepared model {request.model}, version {request.version}, from {request.uri}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
