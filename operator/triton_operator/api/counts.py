"""What a Triton, or a proxy, has counted until some moment.

Not for: what follows from it; that is `core.signals`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

_MOST = 1e15
"""More than this nothing counts, be it microseconds in a year."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a Triton has counted of one version of a model since it began, or how much of it in some time.

    Attributes:
        succeeded: requests that were answered, those from the response cache included.
        failed: requests that failed, for any reason.
        cached: requests that were answered from the response cache.
        executions: executions of the backend, of one request or of a batch.
        inferences: what these executed; a request may hold a batch of its own.
        request_seconds: how long the answered requests took, added up.
        cached_seconds: how long those from the response cache took of it.
        queue_seconds: how long the answered requests waited to be executed.
        compute_seconds: how long the executions took of which the answered requests were part, added up by request.
        buckets: requests whose first response came within so many seconds; {} where nobody counts that.
    """

    succeeded: float = 0.0
    failed: float = 0.0
    cached: float = 0.0
    executions: float = 0.0
    inferences: float = 0.0
    request_seconds: float = 0.0
    cached_seconds: float = 0.0
    queue_seconds: float = 0.0
    compute_seconds: float = 0.0
    buckets: Mapping[float, float] = field(default_factory=dict)

    def since(self, before: Self) -> Self:
        """Give how much was counted since an earlier sample of the same source.

        A Triton that has begun anew counts from 0, all counters at once. One that seems to have gone back a little has
        not: a Prometheus that answers for two replicas has changed from one to the other. Nothing is known of the time
        between the two samples then, and what has been counted since the beginning is not taken for it.
        """
        if self._total < before._total / 2:
            return self
        increases = [now - then for now, then in zip(self._numbers, before._numbers, strict=True)]
        if min(increases) < 0:
            return type(self)()
        known = self.buckets.keys() == before.buckets.keys()
        buckets = {edge: max(0.0, n - before.buckets[edge]) for edge, n in self.buckets.items()} if known else {}
        return self._of(increases, buckets)

    def plus(self, other: Self) -> Self:
        """Add up."""
        sums = [one + another for one, another in zip(self._numbers, other._numbers, strict=True)]
        edges = self.buckets.keys() | other.buckets.keys() if self.buckets or other.buckets else ()
        buckets = {edge: self.buckets.get(edge, 0.0) + other.buckets.get(edge, 0.0) for edge in edges}
        return self._of(sums, buckets)

    def per(self, seconds: float) -> Self:
        """Give how much that is a second."""
        buckets = {edge: count / seconds for edge, count in self.buckets.items()}
        return self._of([number / seconds for number in self._numbers], buckets)

    @classmethod
    def _of(cls, numbers: Sequence[float], buckets: Mapping[float, float]) -> Self:
        succeeded, failed, cached, executions, inferences, request, from_cache, queue, compute = numbers
        return cls(
            succeeded, failed, cached, executions, inferences, request, from_cache, queue, compute, buckets=buckets
        )

    @property
    def _numbers(self) -> tuple[float, ...]:
        """All but the buckets, in their order; written out, as this is asked for every sample of every pod."""
        return (
            self.succeeded,
            self.failed,
            self.cached,
            self.executions,
            self.inferences,
            self.request_seconds,
            self.cached_seconds,
            self.queue_seconds,
            self.compute_seconds,
        )

    @property
    def executed(self) -> float:
        """Requests that were answered by the model itself."""
        return max(0.0, self.succeeded - self.cached)

    @property
    def _total(self) -> float:
        return self.succeeded + self.failed

    @property
    def is_sound(self) -> bool:
        """Whether these are numbers that can have been counted."""
        numbers = (*self._numbers, *self.buckets.values())
        return all(0 <= number <= _MOST for number in numbers)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one scrape of a pod has told of one version of a model.

    Attributes:
        at: when it was taken, in seconds since the epoch, by the clock of who took it.
        counts: what was counted until then.
        pending: requests that wait to be executed; None where this Triton does not tell.
        gpu_utilization: share of the last moments in which the GPUs of the pod worked, 0 to 1; None where nobody tells.
    """

    at: float
    counts: Counts
    pending: float | None = None
    gpu_utilization: float | None = None

    @property
    def is_sound(self) -> bool:
        """Whether it can be so."""
        gauges = (number for number in (self.pending, self.gpu_utilization) if number is not None)
        return self.counts.is_sound and all(0 <= number <= _MOST for number in (self.at, *gauges))


@dataclass(frozen=True, slots=True)
class Sent:
    """How many requests a proxy has sent to one backend since it began.

    Attributes:
        at: when that was told, in seconds since the epoch, by the clock of who asked.
        requests: so many.
    """

    at: float
    requests: float

    @property
    def is_sound(self) -> bool:
        """Whether it can be so."""
        return all(0 <= number <= _MOST for number in (self.at, self.requests))
