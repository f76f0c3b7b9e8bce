"""What was measured of a service over a short time: how much is asked of it, and how it does.

Not for: measuring (`core.signals`), nor what follows from it (`core.autoscaler`).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """The requests of one revision over a window.

    What pods that did not report have done is taken to be what the others did on average. Pods that have just become
    ready and were not measured twice yet are not among them, nor counted at all.

    Attributes:
        at: when the newest sample was taken, in seconds since the epoch.
        seconds: length of the window.
        pods: ready pods that reported over it.
        silent: ready pods that did not.
        arrivals: requests that arrived per second.
        completions: requests that were executed per second; answers from the response cache are none.
        executions: batches that were executed per second.
        batch_seconds: how long an execution took, as its requests see it on average; None without any.
        latency_seconds: how long a request took in Triton, on average; None without any.
        queue_seconds: how long it waited there before it was executed, on average; None without any.
        pending: requests that wait at the end of the window.
        tail_seconds: what a request took at the percentile of the objective; None where only the mean is known.
        tail_source: who measured that: "gateway" or "triton"; "" where nobody did.
        gpu_utilization: share of the time in which the GPUs worked, 0 to 1; None where nobody tells.
        inferences: what was executed per second; more than `completions` where requests hold batches of their own.
    """

    at: float
    seconds: float
    pods: int
    silent: int
    arrivals: float
    completions: float
    executions: float
    batch_seconds: float | None
    latency_seconds: float | None
    queue_seconds: float | None
    pending: float
    tail_seconds: float | None = None
    tail_source: str = ""
    gpu_utilization: float | None = None
    inferences: float = 0.0

    @property
    def batch(self) -> float:
        """Requests in one execution, on average; 0 without any."""
        return self.completions / self.executions if self.executions > 0 else 0.0

    @property
    def concurrency(self) -> float:
        """Requests that were in Triton at a time, on average, by Little's law."""
        return self.completions * (self.latency_seconds or 0.0)
