"""Whether a Triton that calls itself ready still executes requests, told from two looks at its counters.

Tritons before 26.01 stay ready after the process of a Python model has died: each request fails after a second, none is
executed. A Python model that merely raises an error for each request counts as having executed it. Other backends do
not count an execution that failed, so that nothing can be told of them.
Not for: pods that are not ready; see `core.health`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

ENOUGH_FAILURES = 3
TELLING_BACKEND = "python"
"""The backend of which counters tell that its process has died."""


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

    @classmethod
    def of(cls, counted: Mapping[str, float]) -> Self:
        """Take what is needed of the counters of a version."""
        return cls(**{name: counted.get(name, 0.0) for name in cls.__slots__})


Look = Mapping[tuple[str, str], Counts]
"""Counters of one pod at one time, by model and version."""


def suspects(before: Look, after: Look) -> Iterator[tuple[str, str]]:
    """List the models that may have died: since the last look requests have failed in them, and none was executed.

    Args:
        before: counters at one look.
        after: counters at a later look.

    Yields:
        Model and version; sure only if its backend is `TELLING_BACKEND`.
    """
    for model, now in after.items():
        then = before.get(model)
        if then is None or now.backend_failures < then.backend_failures + ENOUGH_FAILURES:
            continue
        if (now.executions, now.successes) == (then.executions, then.successes):
            yield model


def has_executed(before: Look, after: Look) -> bool:
    """Say whether any model of a pod has executed or answered a request between two looks."""
    return any(
        (now.executions, now.successes) != (then.executions, then.successes)
        for model, now in after.items()
        if (then := before.get(model))
    )
