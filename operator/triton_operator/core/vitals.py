"""Whether a Triton that calls itself ready still executes requests, told from two looks at its counters.

Tritons before 26.01 stay ready after the process of a Python model has died: each request fails after a second, none is
executed. A model that merely raises an error for each request counts as having executed it.
Not for: pods that are not ready; see `core.health`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

ENOUGH_FAILURES = 3


@dataclass(frozen=True, slots=True)
class Counts:
    """Counters of one version of a model since its Triton began.

    Attributes:
        executions: executions of the backend, of one request or of a batch.
        successes: requests answered.
        backend_failures: requests that failed in the backend.
    """

    executions: float = 0.0
    successes: float = 0.0
    backend_failures: float = 0.0


def has_died(before: Mapping[str, Counts], after: Mapping[str, Counts]) -> bool:
    """Say whether a backend has died: since the last look requests have failed in it, and it has executed none.

    Args:
        before: counters at one look, by model and version.
        after: counters at a later look.
    """
    for model, now in after.items():
        then = before.get(model)
        if then is None or now.backend_failures < then.backend_failures + ENOUGH_FAILURES:
            continue
        if (now.executions, now.successes) == (then.executions, then.successes):
            return True
    return False
